// Verdicts answers what Istio's own readers say of a text, one JSON object per line: {"ask": reader, "text": text}
// is answered with {"error": why it is refused, or empty, "warning": what is only logged}. "environment" is answered
// with every variable that istiod registers, by name, with its type.
//
// It owns no rule: each answer is a call of the function that istiod, the injector or the agent itself makes.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	kvalidation "k8s.io/apimachinery/pkg/util/validation"

	_ "istio.io/istio/pilot/pkg/bootstrap"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/validation/agent"
	"istio.io/istio/pkg/env"
	"istio.io/istio/pkg/kube/inject"
	"istio.io/istio/pkg/log"
	"istio.io/istio/security/pkg/pki/ca"
	iptables "istio.io/istio/tools/common/config"
)

type question struct {
	Ask  string `json:"ask"`
	Text string `json:"text"`
}

type answer struct {
	Error     string            `json:"error"`
	Warning   string            `json:"warning,omitempty"`
	Variables map[string]string `json:"variables,omitempty"`
}

// logged is a file that Istio's log goes to: some of its verdicts stand there only.
var logged *os.File

func readMesh(text string) error {
	_, err := mesh.ApplyMeshConfigDefaults(text)
	return err
}

func readNetworks(text string) error {
	_, err := mesh.ParseMeshNetworks(text)
	return err
}

func readLevels(text string) error {
	options := log.DefaultOptions()
	options.OutputPaths = []string{logged.Name()}
	ignore := func(*[]string, string, []string, string) {}
	options.AttachFlags(ignore, func(place *string, name string, _ string, _ string) {
		if name == "log_output_level" {
			*place = text
		}
	}, func(*int, string, int, string) {}, func(*bool, string, bool, string) {})
	err := log.Configure(options)
	if again := log.Configure(quiet()); again != nil {
		panic(again)
	}
	return err
}

func quiet() *log.Options {
	options := log.DefaultOptions()
	options.OutputPaths = []string{logged.Name()}
	return options
}

// readRanges is what the injector and the agent say of captured ranges, either of which refuses a pod.
func readRanges(text string, validate func(string) error, star bool) error {
	if err := validate(text); err != nil {
		return err
	}
	v4, _, err := iptables.SeparateV4V6(text)
	if err == nil && v4.IsWildcard && !star {
		return fmt.Errorf("all ranges")
	}
	return err
}

// takes says whether two variables with different defaults agree on a value: a value that cannot be parsed leaves
// each with its own default.
func takes[T env.Parseable](text string, one, other T) error {
	names := [2]string{fmt.Sprintf("VERDICT_%T_A", one), fmt.Sprintf("VERDICT_%T_B", one)}
	var read [2]T
	for i, initial := range [2]T{one, other} {
		os.Setenv(names[i], text)
		read[i] = env.Register(names[i], initial, "").Get()
	}
	if read[0] == one && read[1] == other {
		return fmt.Errorf("%q cannot be parsed", text)
	}
	return nil
}

func readQuantity(text string) error {
	_, err := resource.ParseQuantity(text)
	return err
}

func readLabel(text string) error {
	if problems := kvalidation.IsValidLabelValue(text); len(problems) > 0 {
		return fmt.Errorf("%s", strings.Join(problems, "; "))
	}
	return nil
}

// readAuthority has istiod's CA made of the files that a Secret `cacerts` is mounted as (a JSON object of names and
// base64), and is what it says; or, after "client: ", what a client says of a certificate that the CA then signs, of
// a proxy and of istiod.
func readAuthority(text string) error {
	var files map[string][]byte
	if err := json.Unmarshal([]byte(text), &files); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "cacerts")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	at := func(name string) string { return filepath.Join(folder, name) }
	bundle := ca.SigningCAFileBundle{
		RootCertFile: at(ca.RootCertFile), CertChainFiles: []string{at(ca.CertChainFile)},
		SigningCertFile: at(ca.CACertFile), SigningKeyFile: at(ca.CAPrivateKeyFile),
	}
	if _, tls := files[ca.TLSSecretCACertFile]; tls {
		root := at(ca.TLSSecretRootCertFile)
		bundle = ca.SigningCAFileBundle{
			RootCertFile: root, CertChainFiles: []string{at(ca.TLSSecretCACertFile), root},
			SigningCertFile: at(ca.TLSSecretCACertFile), SigningKeyFile: at(ca.TLSSecretCAPrivateKeyFile),
		}
	} else if _, revokes := files[ca.CACRLFile]; revokes {
		bundle.CRLFile = at(ca.CACRLFile)
	}
	options, err := ca.NewPluggedCertIstioCAOptions(bundle, 24*time.Hour, 90*24*time.Hour, 2048)
	if err != nil {
		return err
	}
	authority, err := ca.NewIstioCA(options)
	if err != nil {
		return err
	}
	for _, identity := range []string{"spiffe://cluster.local/ns/shop/sa/cart", "istiod.istio-system.svc"} {
		chain, _, err := authority.GenKeyCert([]string{identity}, time.Hour, false)
		if err != nil {
			return err
		}
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			if err := verify(chain, authority.GetCAKeyCertBundle().GetRootCertPem(), usage); err != nil {
				return fmt.Errorf("client: %w", err)
			}
		}
	}
	return nil
}

func verify(chain, trusted []byte, usage x509.ExtKeyUsage) error {
	block, rest := pem.Decode(chain)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(trusted)
	between.AppendCertsFromPEM(rest)
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	return err
}

var readers = map[string]func(string) error{
	"authority": readAuthority,
	"mesh":      readMesh,
	"networks":  readNetworks,
	"levels":    readLevels,
	"include-ranges": func(text string) error {
		return readRanges(text, inject.ValidateIncludeIPRanges, true)
	},
	"exclude-ranges": func(text string) error {
		return readRanges(text, inject.ValidateExcludeIPRanges, false)
	},
	"include-ports": inject.ValidateIncludeInboundPorts,
	"exclude-ports": inject.ValidateExcludeOutboundPorts,
	"host":          agent.ValidateFQDN,
	"wildcard-host": agent.ValidateWildcardDomain,
	"trust-domain":  agent.ValidateTrustDomain,
	"proxy-address": agent.ValidateProxyAddress,
	"address":       agent.ValidateIPAddress,
	"range":         func(text string) error { _, err := netip.ParsePrefix(text); return err },
	"duration":      func(text string) error { _, err := time.ParseDuration(text); return err },
	"env-bool":      func(text string) error { return takes(text, true, false) },
	"env-int":       func(text string) error { return takes(text, 101, 102) },
	"env-float64":   func(text string) error { return takes(text, 101.25, 102.25) },
	"env-duration":  func(text string) error { return takes(text, 101*time.Hour, 102*time.Hour) },
	"quantity":      readQuantity,
	"label":         readLabel,
}

func variables() map[string]string {
	kinds := map[env.VarType]string{
		env.STRING: "string", env.BOOL: "bool", env.INT: "int", env.FLOAT: "float64", env.DURATION: "duration", env.OTHER: "other",
	}
	found := map[string]string{}
	for _, variable := range env.VarDescriptions() {
		found[variable.Name] = kinds[variable.Type]
	}
	return found
}

func decide(asked question) answer {
	if asked.Ask == "environment" {
		return answer{Variables: variables()}
	}
	read, known := readers[asked.Ask]
	if !known {
		return answer{Error: "verdicts: there is no reader " + asked.Ask}
	}
	if err := logged.Truncate(0); err != nil {
		panic(err)
	}
	given := answer{}
	if err := read(asked.Text); err != nil {
		given.Error = err.Error()
	}
	text, err := os.ReadFile(logged.Name())
	if err != nil {
		panic(err)
	}
	given.Warning = string(text)
	return given
}

func main() {
	file, err := os.CreateTemp("", "verdicts")
	if err != nil {
		panic(err)
	}
	defer os.Remove(file.Name())
	logged = file
	if err := log.Configure(quiet()); err != nil {
		panic(err)
	}
	lines, out := bufio.NewScanner(os.Stdin), bufio.NewWriter(os.Stdout)
	lines.Buffer(make([]byte, 1<<20), 1<<24)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		encoded, err := json.Marshal(decide(asked))
		if err != nil {
			panic(err)
		}
		out.Write(append(encoded, '\n'))
		out.Flush()
	}
}
