# Cloud Scheduler calls /internal/reconcile, where var.reconcile names something. The service then asks the hosts for the
# deliveries that failed. Between requests it has no processor, so it cannot do so by itself.
#
# The caller is the drain's account, with the drain's audience: the program knows one of each for everything below /internal/.
resource "google_cloud_scheduler_job" "reconcile" {
  count = local.full && length(var.reconcile) > 0 ? 1 : 0

  name        = "${var.name}-reconcile"
  region      = var.region
  description = "Ask the hosts for the deliveries that failed."
  schedule    = var.reconcile_schedule
  time_zone   = "Etc/UTC"
  # A round ends 30 seconds before the service's own timeout, after 200 seconds at the latest.
  attempt_deadline = "240s"
  paused           = false

  # No retries: the next round goes on where this one ended.
  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = "POST"
    uri         = "${google_cloud_run_v2_service.plaudit.uri}/internal/reconcile"

    oidc_token {
      service_account_email = google_service_account.drain[0].email
      audience              = local.drain_audience
    }
  }

  depends_on = [terraform_data.apis_ready]
}
