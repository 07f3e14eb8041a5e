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
{{- $identity = list (dict "name" $name "path" "/etc/evercert-http" "usages" (list "server auth")) -}}
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
{{- include "evercertd.whole" $config -}}
{{- $text := toToml $config | trim -}}
{{/* toToml turns what it cannot write into its error. */}}
{{- if hasPrefix "toml:" $text -}}
{{- fail (printf "config cannot be written as TOML (%s): leave out what is null, and let a list have entries of one kind." (trimPrefix "toml: " $text)) -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/*
Makes the numbers of a map, and of all maps in it, integers, in place: most ways by which values come make all numbers floating. The daemon has no setting
with a fraction, and one is refused.
*/}}
{{- define "evercertd.whole" -}}
{{- $map := . -}}
{{- range $key, $value := $map -}}
{{- if kindIs "float64" $value -}}
{{- if ne (floor $value) $value -}}
{{- fail (printf "config: %s is %v, and the daemon has no setting with a fraction: give a whole number." $key $value) -}}
{{- end -}}
{{- $_ := set $map $key (int64 $value) -}}
{{- else if kindIs "map" $value -}}
{{- include "evercertd.whole" $value -}}
{{- else if kindIs "slice" $value -}}
{{- range $value -}}{{- if kindIs "map" . -}}{{- include "evercertd.whole" . -}}{{- end -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
