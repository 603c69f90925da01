[% set volumes = ["istiod-ca-cert"] + (["istio-token"] if features.agentgateway_ca else []) + ["xds-token", "tmp"] %]
[% set controller = '"istio.io-agentgateway-controller"' %]
[% set protocol = '"TCP"' %]
[# What istiod deploys for a Gateway of class istio-agentgateway. #]
[% include "injection/managed/preamble.tpl" %]
{{- $outside := strdict -}}
{{- $traffic := strdict -}}
{{- $resources := $proxy.resources -}}
{{- $lifecycle := $proxy.lifecycle -}}
{{- $confinement := dict -}}
[% include "injection/managed/account.tpl" %]
[% include "injection/managed/deployment.tpl" %]
[% include "injection/managed/sysctls.tpl" %]
[% include "injection/managed/agentgateway.tpl" %]
[% include "injection/managed/exposure.tpl" %]
