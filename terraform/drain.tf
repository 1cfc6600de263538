# Cloud Scheduler calls /internal/drain once a minute. The service then makes the recognitions that are owed and publishes
# those that wait, also after a crash or an outage of Pub/Sub, and also if no other request comes.
#
# Cloud Run admits everyone (var.public_access), so the program verifies the token itself: Google's signature, this
# audience, this service account. The audience is a fixed word and not the service's URL, because the program needs it in
# its environment, and a service has no URL before it is created.
locals {
  drain_audience = "${var.name}-drain"
}

# It has no grants: it only identifies the caller.
resource "google_service_account" "drain" {
  count = local.full ? 1 : 0

  account_id   = "${var.name}-drain"
  display_name = "${var.name}: calls /internal/drain"

  depends_on = [terraform_data.apis_ready]
}

resource "google_cloud_scheduler_job" "drain" {
  count = local.full ? 1 : 0

  name             = "${var.name}-drain"
  region           = var.region
  description      = "Recognise what is owed and publish what waits."
  schedule         = var.drain_schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "55s"
  paused           = false

  # No retries: the next call comes within a minute, and two drains at once would not be faster.
  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = "POST"
    uri         = "${google_cloud_run_v2_service.plaudit.uri}/internal/drain"

    oidc_token {
      service_account_email = google_service_account.drain[0].email
      audience              = local.drain_audience
    }
  }

  # Its queries fail until Firestore has built their indexes, and each failure is an alert.
  depends_on = [google_firestore_field.fields, google_firestore_index.indexes, terraform_data.apis_ready]
}
