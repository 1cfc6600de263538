# Somebody outside asks every minute whether the service answers.
#
# Not at /healthz: Google's front end keeps that path of every run.app URL to itself and answers it with a 404 of its own
# (https://cloud.google.com/run/docs/known-issues). Cloud Run's probes ask from inside and do reach it. /openapi.json needs
# neither a token nor the database, so it tells exactly whether the program is there.
resource "google_monitoring_uptime_check_config" "outside" {
  display_name       = "${var.name}: answers from outside"
  timeout            = "10s"
  period             = "60s"
  log_check_failures = true
  user_labels        = local.labels

  http_check {
    path         = "/openapi.json"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    accepted_response_status_codes {
      status_value = 200
    }
  }

  content_matchers {
    content = "\"openapi\""
    matcher = "CONTAINS_STRING"
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = trimprefix(google_cloud_run_v2_service.plaudit.uri, "https://")
    }
  }

  depends_on = [google_project_service.apis]
}
