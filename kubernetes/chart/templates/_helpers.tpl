{{- define "evercertd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "evercertd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "evercertd.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "evercertd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "evercertd.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What selects the daemon's pods; it must never change for a release. */}}
{{- define "evercertd.selectorLabels" -}}
app.kubernetes.io/name: {{ include "evercertd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: daemon
{{- end -}}

{{/* The labels of an object, by `component`. */}}
{{- define "evercertd.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_" | trunc 63)
  "app.kubernetes.io/managed-by" .Release.Service
-}}
{{- toYaml (merge (include "evercertd.selectorLabels" . | fromYaml) $own .Values.commonLabels) -}}
{{- end -}}

{{/* An image, by its values and the tag that is taken where they name none. */}}
{{- define "evercertd.image" -}}
{{- $image := .image -}}
{{- $repository := $image.repository -}}
{{- if $image.registry -}}{{- $repository = printf "%s/%s" $image.registry $image.repository -}}{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .tag $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The port that answers probes: an own one where the other speaks TLS. */}}
{{- define "evercertd.probesPort" -}}
{{- ternary "probes" "metrics" .Values.http.tls.enabled -}}
{{- end -}}

{{- define "evercertd.capabilities" -}}
{{- $own := list "DAC_READ_SEARCH" -}}
{{- if eq .Values.mode "publisher" -}}{{- $own = append $own "SYS_PTRACE" -}}{{- end -}}
{{- $own | toJson -}}
{{- end -}}

{{- define "evercertd.securityContext" -}}
{{- $given := .Values.securityContext | deepCopy -}}
{{- $capabilities := dig "capabilities" (dict) $given -}}
{{- $add := concat (include "evercertd.capabilities" . | fromJsonArray) (default (list) $capabilities.add) | uniq -}}
{{- $own := dict
  "runAsUser" 0
  "runAsGroup" 0
  "allowPrivilegeEscalation" false
  "readOnlyRootFilesystem" true
  "seccompProfile" (dict "type" "RuntimeDefault")
-}}
{{- $context := mergeOverwrite $own $given (dict "capabilities" (dict "drop" (list "ALL") "add" $add)) -}}
{{- toYaml $context -}}
{{- end -}}
