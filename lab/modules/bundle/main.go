// Runs operator-framework's validators on a bundle directory, and prints each finding as one line of JSON.
// Exit code 2: the directory could not be read as a bundle. Findings do not change the exit code.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
	"github.com/operator-framework/api/pkg/validation/errors"
	interfaces "github.com/operator-framework/api/pkg/validation/interfaces"
)

type validator struct {
	name  string
	check interfaces.Validator
}

// All but those that are for other inputs (packages, OperatorGroups), that pull images, or that are deprecated.
var validators = []validator{
	{"clusterserviceversion", validation.ClusterServiceVersionValidator},
	{"customresourcedefinition", validation.CustomResourceDefinitionValidator},
	{"bundle", validation.BundleValidator},
	{"object", validation.ObjectValidator},
	{"operatorhubv2", validation.OperatorHubV2Validator},
	{"capabilities", validation.StandardCapabilitiesValidator},
	{"categories", validation.StandardCategoriesValidator},
	{"alpha-deprecated-apis", validation.AlphaDeprecatedAPIsValidator},
	{"good-practices", validation.GoodPracticesValidator},
}

type finding struct {
	Validator string `json:"validator"`
	Level     string `json:"level"`
	Type      string `json:"type"`
	Field     string `json:"field"`
	Detail    string `json:"detail"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bundle-validators BUNDLE")
		os.Exit(2)
	}
	bundle, err := manifests.GetBundleFromDir(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	out := json.NewEncoder(os.Stdout)
	for _, validator := range validators {
		for _, result := range validator.check.Validate(bundle.ObjectsToValidate()...) {
			for _, found := range append(result.Errors, result.Warnings...) {
				print(out, validator.name, found)
			}
		}
	}
}

func print(out *json.Encoder, validator string, found errors.Error) {
	line := finding{validator, string(found.Level), string(found.Type), found.Field, found.Detail}
	if err := out.Encode(line); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
