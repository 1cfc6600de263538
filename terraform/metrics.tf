# Log-based metrics. They read two kinds of log lines, both of the service's own revisions:
# - Cloud Run's request log: one line for each request, also for one that never reached the program;
# - the program's lines (JSON on standard error). A test of the program (tests/it/log_filters.rs) evaluates each filter and
#   extractor here and in alerts.tf on lines that the program really wrote, so that a renamed field is found.
locals {
  service_logs = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}\""
  request_logs = "${local.service_logs} AND logName=\"projects/${var.project_id}/logs/run.googleapis.com%2Frequests\""
  program_logs = "${local.service_logs} AND logName=\"projects/${var.project_id}/logs/run.googleapis.com%2Fstderr\""

  # The requests that the service is for. Event streams last minutes by design, so they are not among them.
  call_logs = "${local.request_logs} AND httpRequest.requestUrl=~\"^https://[^/]+/(webhooks|v1)/\" AND NOT httpRequest.requestUrl=~\"/v1/recognitions/stream\""

  # Each counter: its log lines and its labels.
  counters = {
    calls = {
      description = "Requests to webhooks and to /v1, without event streams."
      filter      = local.call_logs
      labels      = {}
    }
    calls_failed = {
      description = "Those that ended in 5xx, or in Cloud Run's own 429 because no instance was free."
      filter      = "${local.call_logs} AND (httpRequest.status>=500 OR httpRequest.status=429)"
      labels      = {}
    }
    drains = {
      description = "Drains that succeeded."
      filter      = "${local.request_logs} AND httpRequest.requestUrl=~\"/internal/drain$\" AND httpRequest.status=200"
      labels      = {}
    }
    deliveries = {
      description = "Verified deliveries, by host, verdict and reason."
      filter      = "${local.program_logs} AND jsonPayload.delivery:* AND jsonPayload.verdict=(\"recorded\" OR \"duplicate\" OR \"ignored\" OR \"retracted\")"
      labels = {
        host    = "EXTRACT(jsonPayload.host)"
        verdict = "EXTRACT(jsonPayload.verdict)"
        reason  = "EXTRACT(jsonPayload.reason)"
      }
    }
    failed_signatures = {
      description = "Requests to a webhook that were unsigned or wrongly signed (401), by host."
      filter      = "${local.request_logs} AND httpRequest.status=401 AND httpRequest.requestUrl=~\"/webhooks/\""
      labels = {
        host = "REGEXP_EXTRACT(httpRequest.requestUrl, \"/webhooks/([a-z]+)\")"
      }
    }
    errors = {
      description = "The program's own log lines of severity ERROR and above."
      filter      = "${local.program_logs} AND severity>=ERROR"
      labels      = {}
    }
    recognitions_made = {
      description = "Recognitions that were earned and stored."
      filter      = "${local.program_logs} AND jsonPayload.recognition:* AND jsonPayload.message=~\"^recognition .+ made$\""
      labels      = {}
    }
    recognitions_published = {
      description = "Recognitions that a destination took (topic, comment)."
      filter      = "${local.program_logs} AND jsonPayload.recognition:* AND jsonPayload.message=~\"^recognition .+ published$\""
      labels = {
        destination = "EXTRACT(jsonPayload.destination)"
      }
    }
  }

  # Each distribution: its log lines, the number that it reads from them, and the borders of its buckets. Monitoring guesses
  # within a bucket, so every threshold of an alert or a goal is a border.
  distributions = {
    # Not Cloud Run's own request_latencies: that counts event streams, health checks and drains too.
    request_seconds = {
      description = "How long requests to webhooks and to /v1 took, without event streams."
      filter      = "${local.call_logs} AND httpRequest.latency:*"
      value       = "EXTRACT(httpRequest.latency)"
      unit        = "s"
      bounds      = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, local.latency_p99_seconds, 5, 10, 30, 60, var.latency_seconds]
    }
    outbox_oldest_seconds = {
      description = "How long the oldest recognition had been waiting, at each drain."
      filter      = "${local.program_logs} AND jsonPayload.outbox_oldest_seconds>=0"
      value       = "EXTRACT(jsonPayload.outbox_oldest_seconds)"
      unit        = "s"
      bounds      = [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 259200, var.outbox_alert_seconds]
    }
    outbox_waiting = {
      description = "How many recognitions were waiting, at each drain."
      filter      = "${local.program_logs} AND jsonPayload.outbox_waiting>=0"
      value       = "EXTRACT(jsonPayload.outbox_waiting)"
      unit        = "1"
      bounds      = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000]
    }
  }
}

resource "google_logging_metric" "counters" {
  for_each = local.full ? local.counters : {}

  name             = "${var.name}/${each.key}"
  description      = each.value.description
  filter           = each.value.filter
  label_extractors = each.value.labels

  metric_descriptor {
    metric_kind  = "DELTA"
    value_type   = "INT64"
    unit         = "1"
    display_name = "${var.name}: ${each.key}"

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  depends_on = [terraform_data.apis_ready]
}

resource "google_logging_metric" "distributions" {
  for_each = local.full ? local.distributions : {}

  name            = "${var.name}/${each.key}"
  description     = each.value.description
  filter          = each.value.filter
  value_extractor = each.value.value

  metric_descriptor {
    metric_kind  = "DELTA"
    value_type   = "DISTRIBUTION"
    unit         = each.value.unit
    display_name = "${var.name}: ${each.key}"
  }

  bucket_options {
    explicit_buckets {
      # Ascending, each once: `sort` compares texts, so they are padded.
      bounds = [for text in sort(distinct([for bound in each.value.bounds : format("%012.3f", bound)])) : tonumber(text)]
    }
  }

  depends_on = [terraform_data.apis_ready]
}

# Cloud Monitoring knows a new log-based metric only after up to ten minutes, and refuses goals and alerts on it before. On the
# first apply this passes while Firestore builds its indexes.
resource "terraform_data" "metrics_ready" {
  count = local.full ? 1 : 0

  triggers_replace = sort(concat(keys(local.counters), keys(local.distributions)))

  provisioner "local-exec" {
    command = "sleep 600"
  }

  depends_on = [google_logging_metric.counters, google_logging_metric.distributions]
}

# The filters for these metrics in Cloud Monitoring, and for Google's own metrics in the alerts and the dashboard.
locals {
  on_service = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${var.name}\""

  series = merge(
    { for k in concat(keys(local.counters), keys(local.distributions)) : k => "${local.on_service} AND metric.type = \"logging.googleapis.com/user/${var.name}/${k}\"" },
    {
      requests     = "${local.on_service} AND metric.type = \"run.googleapis.com/request_count\""
      instances    = "${local.on_service} AND metric.type = \"run.googleapis.com/container/instance_count\""
      active       = "${local.on_service} AND metric.type = \"run.googleapis.com/container/instance_count\" AND metric.labels.state = \"active\""
      cpu          = "${local.on_service} AND metric.type = \"run.googleapis.com/container/cpu/utilizations\""
      memory       = "${local.on_service} AND metric.type = \"run.googleapis.com/container/memory/utilizations\""
      dead_letters = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${var.name}-dead-letters\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      uptime       = "resource.type = \"uptime_url\" AND metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id = \"${try(google_monitoring_uptime_check_config.outside[0].uptime_check_id, "")}\""
    },
  )
}
