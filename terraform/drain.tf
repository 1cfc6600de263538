# Once a minute the service is asked to recognise what is owed and to publish what waits: what a crash or a publisher's
# outage left behind goes out then, even if no request comes.
#
# Cloud Run lets everyone in (var.public_access), so the program verifies the token itself: Google's signature, this
# audience, this service account. The audience is a fixed word and not the service's URL: the program must know it, and a
# service cannot have its own URL in its environment before it exists.
locals {
  drain_audience = "${var.name}-drain"
}

# It is granted nothing: its only use is to prove who asks.
resource "google_service_account" "drain" {
  account_id   = "${var.name}-drain"
  display_name = "${var.name}: calls /internal/drain"

  depends_on = [google_project_service.apis]
}

resource "google_cloud_scheduler_job" "drain" {
  name             = "${var.name}-drain"
  region           = var.region
  description      = "Recognise what is owed and publish what waits."
  schedule         = var.drain_schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "55s"

  # No retries: the next minute is the retry, and two drains at once gain nothing.
  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = "POST"
    uri         = "${google_cloud_run_v2_service.plaudit.uri}/internal/drain"

    oidc_token {
      service_account_email = google_service_account.drain.email
      audience              = local.drain_audience
    }
  }

  depends_on = [google_project_service.apis]
}
