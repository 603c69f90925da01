[% set volumes = ["istiod-ca-cert", "istio-token", "xds-token", "tmp"] %]
[% set controller = '"istio.io-agentgateway-waypoint-controller"' %]
[% set protocol = '"TCP"' %]
[# What istiod deploys for a Gateway of class istio-agentgateway-waypoint. #]
[% include "injection/managed/preamble.tpl" %]
{{- $outside := strdict "istio.io/dataplane-mode" "none" -}}
{{- $traffic := strdict -}}
{{- $resources := $waypoint.resources -}}
{{- $lifecycle := dict -}}
{{- $confinement := $gateways.seccompProfile -}}
[% include "injection/managed/account.tpl" %]
[% include "injection/managed/deployment.tpl" %]
[% include "injection/managed/agentgateway.tpl" %]
[% include "injection/managed/exposure.tpl" %]
