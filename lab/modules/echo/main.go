// Everything the lab's small pods need, in one static binary.
//
//	echo serve [ADDRESS]            answer every request with what was seen of it, as JSON; /healthz answers "ok"
//	echo get [flags] URL            send requests, one line for each; exit 1 if one failed
//	echo sleep                      wait for a signal (a client pod that is used with exec)
//	echo pause                      wait for a signal as the first process of a pod, reaping orphans
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const usage = "usage: echo serve [ADDRESS] | get [flags] URL | sleep | pause"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	arguments := os.Args[2:]
	switch os.Args[1] {
	case "serve":
		os.Exit(serve(stop, arguments))
	case "get":
		os.Exit(get(stop, arguments))
	case "sleep":
		<-stop.Done()
	case "pause":
		pause(stop)
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
}

// Answer is what the server saw of one request. Repeated headers are joined by commas.
type Answer struct {
	Pod     string            `json:"pod"`
	Version string            `json:"version,omitempty"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Host    string            `json:"host"`
	Proto   string            `json:"proto"`
	Remote  string            `json:"remote"`
	Headers map[string]string `json:"headers"`
}

func serve(stop context.Context, arguments []string) int {
	address := ":8080"
	if len(arguments) > 0 {
		address = arguments[0]
	}
	pod, err := os.Hostname()
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo serve:", err)
		return 1
	}
	routes := http.NewServeMux()
	routes.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		headers := make(map[string]string, len(r.Header))
		for name, values := range r.Header {
			headers[name] = strings.Join(values, ",")
		}
		w.Header().Set("Content-Type", "application/json")
		answer := Answer{pod, os.Getenv("VERSION"), r.Method, r.URL.Path, r.Host, r.Proto, r.RemoteAddr, headers}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			fmt.Fprintln(os.Stderr, "echo serve:", err)
		}
	})
	server := &http.Server{Addr: address, Handler: routes, ReadHeaderTimeout: 10 * time.Second}
	drained := make(chan error, 1)
	go func() {
		<-stop.Done()
		within, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		drained <- server.Shutdown(within)
	}()
	fmt.Println("listening on", address)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, "echo serve:", err)
		return 1
	}
	if err := <-drained; err != nil {
		fmt.Fprintln(os.Stderr, "echo serve:", err)
		return 1
	}
	return 0
}

func get(stop context.Context, arguments []string) int {
	flags := flag.NewFlagSet("echo get", flag.ExitOnError)
	count := flags.Int("n", 1, "number of requests; 0 until a signal")
	interval := flags.Duration("i", 200*time.Millisecond, "time between two requests")
	timeout := flags.Duration("t", 3*time.Second, "time that one request may take")
	host := flags.String("host", "", "Host header, if not the URL's")
	reuse := flags.Bool("keepalive", false, "keep the connection between requests")
	quiet := flags.Bool("q", false, "print failures and the last line only")
	if err := flags.Parse(arguments); err != nil || flags.NArg() != 1 {
		fmt.Fprintln(os.Stderr, usage)
		return 2
	}
	client := &http.Client{Timeout: *timeout, Transport: &http.Transport{DisableKeepAlives: !*reuse}}
	sent, failed := 0, 0
	for *count == 0 || sent < *count {
		if sent > 0 && !wait(stop, *interval) {
			break
		}
		sent++
		began := time.Now()
		ok, text := request(stop, client, flags.Arg(0), *host)
		if !ok {
			failed++
		}
		if !ok || !*quiet {
			took := time.Since(began).Round(time.Millisecond)
			fmt.Println(began.UTC().Format("15:04:05.000"), took, text)
		}
	}
	fmt.Printf("requests=%d failed=%d\n", sent, failed)
	if failed > 0 {
		return 1
	}
	return 0
}

// request sends one GET. A status of 400 or more is a failure, like no answer at all.
func request(stop context.Context, client *http.Client, url, host string) (bool, string) {
	message, err := http.NewRequestWithContext(stop, http.MethodGet, url, nil)
	if err != nil {
		return false, "error " + err.Error()
	}
	message.Host = host
	answer, err := client.Do(message)
	if err != nil {
		return false, "error " + err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return false, "error " + err.Error()
	}
	return answer.StatusCode < 400, fmt.Sprintf("%d %s", answer.StatusCode, strings.TrimSpace(string(body)))
}

// wait reports whether the time passed without a signal to stop.
func wait(stop context.Context, interval time.Duration) bool {
	select {
	case <-stop.Done():
		return false
	case <-time.After(interval):
		return true
	}
}

func pause(stop context.Context) {
	orphans := make(chan os.Signal, 16)
	signal.Notify(orphans, syscall.SIGCHLD)
	for {
		select {
		case <-stop.Done():
			return
		case <-orphans:
			for {
				if child, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); child <= 0 || err != nil {
					break
				}
			}
		}
	}
}
