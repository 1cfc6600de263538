# The drain runs every minute, and only its own account may call it.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "a_minute_at_most" {
  command = plan

  assert {
    condition = (
      google_cloud_scheduler_job.drain[0].schedule == "* * * * *" &&
      google_cloud_scheduler_job.drain[0].time_zone == "Etc/UTC" &&
      google_cloud_scheduler_job.drain[0].http_target[0].http_method == "POST" &&
      google_cloud_scheduler_job.drain[0].http_target[0].uri == "https://plaudit-abc123-ew.a.run.app/internal/drain"
    )
    error_message = "The drain must be called every minute."
  }
}

run "with_the_audience_and_account_the_program_expects" {
  command = plan

  assert {
    condition = (
      google_cloud_scheduler_job.drain[0].http_target[0].oidc_token[0].audience ==
      { for e in google_cloud_run_v2_service.plaudit.template[0].containers[0].env : e.name => e.value }["PLAUDIT_DRAIN_AUDIENCE"]
    )
    error_message = "Another audience is a 401 every minute."
  }

  assert {
    condition     = google_cloud_scheduler_job.drain[0].http_target[0].oidc_token[0].audience != ""
    error_message = "An audience must be asked for."
  }

  assert {
    condition = (
      google_cloud_scheduler_job.drain[0].http_target[0].oidc_token[0].service_account_email == google_service_account.drain[0].email &&
      { for e in google_cloud_run_v2_service.plaudit.template[0].containers[0].env : e.name => e.value }["PLAUDIT_DRAIN_EMAIL"] == google_service_account.drain[0].email
    )
    error_message = "The drain's own account calls, and the program expects that one."
  }
}
