# An uptime check from outside, every minute.
#
# It does not use /healthz: Google's front end reserves that path on every run.app URL and answers 404
# (https://cloud.google.com/run/docs/known-issues). Cloud Run's own probes come from inside and reach it. /openapi.json needs
# neither a token nor the database, so its answer shows only whether the program runs.
resource "google_monitoring_uptime_check_config" "outside" {
  count = local.full ? 1 : 0

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

  depends_on = [terraform_data.apis_ready]
}
