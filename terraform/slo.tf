# The service level objectives over 28 days. The alerts on their burn rates are in alerts.tf.
resource "google_monitoring_custom_service" "plaudit" {
  service_id   = var.name
  display_name = var.name
  user_labels  = local.labels

  telemetry {
    resource_name = "//run.googleapis.com/${google_cloud_run_v2_service.plaudit.id}"
  }

  depends_on = [google_project_service.apis]
}

# A request is bad if it ends in 5xx. A 503 with Retry-After is bad too, because GitHub does not send again by itself.
resource "google_monitoring_slo" "availability" {
  service             = google_monitoring_custom_service.plaudit.service_id
  slo_id              = "availability"
  display_name        = "Not answered with 5xx: ${var.availability_goal * 100} % of requests in 28 days"
  goal                = var.availability_goal
  rolling_period_days = 28
  user_labels         = local.labels

  request_based_sli {
    good_total_ratio {
      total_service_filter = local.series.requests
      bad_service_filter   = local.series.failed
    }
  }
}

resource "google_monitoring_slo" "latency" {
  service             = google_monitoring_custom_service.plaudit.service_id
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
}
