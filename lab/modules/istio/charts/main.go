// Charts renders a chart that istioctl carries, by Istio's own copy of Helm: {"chart": folder below manifests/charts,
// "release": name, "namespace": name, "values": values} on standard input gives the objects as YAML documents.
//
// It owns no rule: it is a call of the function by which istioctl renders its components. The public gateway chart is
// none of them, so that istioctl itself cannot be asked for it.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"istio.io/istio/operator/pkg/helm"
	"istio.io/istio/operator/pkg/values"
)

type wish struct {
	Chart     string         `json:"chart"`
	Release   string         `json:"release"`
	Namespace string         `json:"namespace"`
	Values    map[string]any `json:"values"`
}

func render() error {
	var asked wish
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return err
	}
	settings := values.Map{"spec": map[string]any{"values": asked.Values}}
	objects, _, err := helm.Render(asked.Release, asked.Namespace, asked.Chart, settings, nil)
	if err != nil {
		return err
	}
	for _, object := range objects {
		fmt.Printf("---\n%s\n", object.Content)
	}
	return nil
}

func main() {
	if err := render(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
