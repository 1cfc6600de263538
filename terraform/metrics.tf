# Log-based metrics. They read two kinds of log lines, both of the service's own revisions:
# - Cloud Run's request log: one line for each request, also for one that never reached the program;
# - the program's lines (JSON on standard error). The metrics need the fields delivery, host, verdict, reason, recognition,
#   destination, outbox_waiting and outbox_oldest_seconds, and the messages "recognition … made" and "recognition … published".
#   If one is renamed in the program, rename it here too; .ci/terraform checks it.
locals {
  service_logs = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}\""
  request_logs = "${local.service_logs} AND logName=\"projects/${var.project_id}/logs/run.googleapis.com%2Frequests\""
  program_logs = "${local.service_logs} AND logName=\"projects/${var.project_id}/logs/run.googleapis.com%2Fstderr\""

  # Each counter: its log lines and its labels.
  counters = {
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

  # Each distribution: its log lines, and the number that it reads from them.
  distributions = {
    # Not Cloud Run's own request_latencies: that counts event streams, which last minutes by design.
    request_seconds = {
      description = "How long requests took, without event streams."
      filter      = "${local.request_logs} AND httpRequest.latency:* AND NOT httpRequest.requestUrl=~\"/v1/recognitions/stream\""
      value       = "EXTRACT(httpRequest.latency)"
      unit        = "s"
      scale       = 0.005
      factor      = 1.4
      buckets     = 32
    }
    outbox_oldest_seconds = {
      description = "How long the oldest recognition had been waiting, at each drain."
      filter      = "${local.program_logs} AND jsonPayload.outbox_oldest_seconds>=0"
      value       = "EXTRACT(jsonPayload.outbox_oldest_seconds)"
      unit        = "s"
      scale       = 10
      factor      = 1.25
      buckets     = 40
    }
    outbox_waiting = {
      description = "How many recognitions were waiting, at each drain."
      filter      = "${local.program_logs} AND jsonPayload.outbox_waiting>=0"
      value       = "EXTRACT(jsonPayload.outbox_waiting)"
      unit        = "1"
      scale       = 1
      factor      = 1.5
      buckets     = 32
    }
  }
}

resource "google_logging_metric" "counters" {
  for_each = local.counters

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

  depends_on = [google_project_service.apis]
}

resource "google_logging_metric" "distributions" {
  for_each = local.distributions

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
    exponential_buckets {
      num_finite_buckets = each.value.buckets
      growth_factor      = each.value.factor
      scale              = each.value.scale
    }
  }

  depends_on = [google_project_service.apis]
}

# The filters for these metrics in Cloud Monitoring, and for Google's own metrics in the alerts and the dashboard.
locals {
  on_service = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${var.name}\""

  series = merge(
    { for k, m in google_logging_metric.counters : k => "${local.on_service} AND metric.type = \"logging.googleapis.com/user/${m.name}\"" },
    { for k, m in google_logging_metric.distributions : k => "${local.on_service} AND metric.type = \"logging.googleapis.com/user/${m.name}\"" },
    {
      requests     = "${local.on_service} AND metric.type = \"run.googleapis.com/request_count\""
      failed       = "${local.on_service} AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      instances    = "${local.on_service} AND metric.type = \"run.googleapis.com/container/instance_count\""
      cpu          = "${local.on_service} AND metric.type = \"run.googleapis.com/container/cpu/utilizations\""
      memory       = "${local.on_service} AND metric.type = \"run.googleapis.com/container/memory/utilizations\""
      dead_letters = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.dead_letters.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      uptime       = "resource.type = \"uptime_url\" AND metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id = \"${google_monitoring_uptime_check_config.outside.uptime_check_id}\""
    },
  )
}
