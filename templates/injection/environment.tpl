    env:
[% include "injection/environment-pod.tpl" %]
[% include "injection/environment-limits.tpl" %]
[% include "injection/environment-workload.tpl" %]
    - { name: ISTIO_META_INTERCEPTION_MODE, value: {{ toJson $mode }} }
{{- with .CompliancePolicy }}
    - { name: COMPLIANCE_POLICY, value: {{ toJson . }} }
[% if features.fips_godebug %]
{{- if eq . "fips-140-3" }}
    - { name: GODEBUG, value: "fips140=only" }
{{- end }}
[% endif %]
{{- end }}
{{- if $bootstrap }}
    - { name: ISTIO_BOOTSTRAP_OVERRIDE, value: /etc/istio/custom-bootstrap/custom_bootstrap.json }
{{- end }}
[% include "injection/environment-mesh.tpl" %]
