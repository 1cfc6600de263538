# The service level objectives over 28 days. The alerts on their burn rates are in alerts.tf.
resource "google_monitoring_custom_service" "plaudit" {
  count = local.full ? 1 : 0

  service_id   = var.name
  display_name = var.name
  user_labels  = local.labels

  telemetry {
    resource_name = "//run.googleapis.com/${google_cloud_run_v2_service.plaudit.id}"
  }

  depends_on = [terraform_data.apis_ready]
}

# Both count webhooks and /v1 only (metrics.tf): the uptime check and the drain send 420 requests an hour that nearly always
# succeed, and three deliveries an hour, all failing, would be less than 1 % of them.
#
# A request is bad if it ends in 5xx or in Cloud Run's own 429 (no instance free). A 503 with Retry-After is bad too, because
# GitHub does not send again by itself.
resource "google_monitoring_slo" "availability" {
  count = local.full ? 1 : 0

  service             = google_monitoring_custom_service.plaudit[0].service_id
  slo_id              = "availability"
  display_name        = "Answered by plaudit without failure: ${var.availability_goal * 100} % of requests in 28 days"
  goal                = var.availability_goal
  rolling_period_days = 28
  user_labels         = local.labels

  request_based_sli {
    good_total_ratio {
      total_service_filter = local.series.calls
      bad_service_filter   = local.series.calls_failed
    }
  }

  depends_on = [terraform_data.metrics_ready]
}

resource "google_monitoring_slo" "latency" {
  count = local.full ? 1 : 0

  service             = google_monitoring_custom_service.plaudit[0].service_id
  slo_id              = "latency"
  display_name        = "Answered within ${var.latency_seconds} s: ${var.latency_goal * 100} % of requests in 28 days"
  goal                = var.latency_goal
  rolling_period_days = 28
  user_labels         = local.labels

  request_based_sli {
    distribution_cut {
      distribution_filter = local.series.request_seconds
      range {
        min = 0
        max = var.latency_seconds
      }
    }
  }

  depends_on = [terraform_data.metrics_ready]
}
