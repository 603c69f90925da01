apiVersion: v1
kind: ServiceAccount
metadata: {{ merge (dict "name" .ServiceAccount "annotations" $annotations "labels" $labels) $common | toJson }}
