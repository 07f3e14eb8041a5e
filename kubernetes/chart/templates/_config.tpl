{{/*
The daemon's configuration, as TOML: `config` merged over what the chart sets. Lists of `config` are added to the chart's own identity and
rule, and take the place of all other lists.
*/}}
{{- define "evercertd.config" -}}
{{- $values := .Values -}}
{{- $http := dict "listen" (printf "%s:%d" $values.http.address (int $values.http.port)) -}}
{{- $identity := list -}}
{{- $pods := list -}}
{{- if $values.http.tls.enabled -}}
{{- $name := "evercertd-http" -}}
{{- $http = merge $http (dict
  "identity" $name
  "client_certificates" $values.http.tls.clientCertificates
  "probes" (printf "%s:%d" $values.http.address (int $values.http.probesPort)))
-}}
{{- $identity = list (dict "name" $name "path" "/etc/evercert-http" "usages" (list "server auth") "allow" (list)) -}}
{{- $pods = list (dict "namespace" .Release.Namespace "volume" "evercertd-http-tls" "ignore" true) -}}
{{- end -}}
{{- $chart := dict
  "mode" $values.mode
  "watch" (dict "directories" (list))
  "sockets" (dict "agent" "/run/evercert/agent/agent.sock" "admin" "/run/evercert-admin/admin.sock")
  "state" (dict "directory" "/var/lib/evercert")
  "http" $http
  "log" (dict "format" "json")
  "kubelet" (dict "directory" (printf "%s/pods" $values.kubeletRootDir) "logs" $values.podLogsDir)
  "limits" (dict "connections" 256 "connections_per_caller" 64 "streams" 256 "streams_per_caller" 64)
-}}
{{- $given := deepCopy $values.config -}}
{{- $config := mergeOverwrite $chart (omit $given "identity" "pods") -}}
{{- with concat $identity (default (list) $given.identity) -}}{{- $_ := set $config "identity" . -}}{{- end -}}
{{- with concat $pods (default (list) $given.pods) -}}{{- $_ := set $config "pods" . -}}{{- end -}}
{{/* Where values came by way of JSON every number has a fraction, and the daemon has no setting with one. */}}
{{- regexReplaceAll "(?m)^(\\s*[A-Za-z0-9_-]+ = -?[0-9]+)\\.0$" (toToml $config) "${1}" | trim -}}
{{- end -}}
