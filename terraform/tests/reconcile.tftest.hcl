# The deliveries that failed are asked for every ten minutes, where something is named, and only the drain's account may ask.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id      = "acme-thanks"
  region          = "europe-west1"
  image           = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
  reconcile       = ["github:octocat/hello", "github:octo-org"]
  secret_versions = { PLAUDIT_GITHUB_SECRET = "1", PLAUDIT_GITHUB_TOKEN = "1" }
}

run "every_ten_minutes" {
  command = plan

  assert {
    condition = (
      google_cloud_scheduler_job.reconcile[0].schedule == "*/10 * * * *" &&
      google_cloud_scheduler_job.reconcile[0].time_zone == "Etc/UTC" &&
      google_cloud_scheduler_job.reconcile[0].paused == false &&
      google_cloud_scheduler_job.reconcile[0].attempt_deadline == "240s" &&
      google_cloud_scheduler_job.reconcile[0].retry_config[0].retry_count == 0 &&
      google_cloud_scheduler_job.reconcile[0].http_target[0].http_method == "POST" &&
      google_cloud_scheduler_job.reconcile[0].http_target[0].uri == "https://plaudit-abc123-ew.a.run.app/internal/reconcile"
    )
    error_message = "A round every ten minutes, which is over before the next."
  }

  assert {
    condition     = { for e in google_cloud_run_v2_service.plaudit.template[0].containers[0].env : e.name => e.value }["PLAUDIT_RECONCILE"] == "github:octocat/hello,github:octo-org"
    error_message = "The program reconciles what is named."
  }
}

run "with_the_audience_and_account_the_program_expects" {
  command = plan

  assert {
    condition = (
      google_cloud_scheduler_job.reconcile[0].http_target[0].oidc_token[0].audience ==
      { for e in google_cloud_run_v2_service.plaudit.template[0].containers[0].env : e.name => e.value }["PLAUDIT_DRAIN_AUDIENCE"] &&
      google_cloud_scheduler_job.reconcile[0].http_target[0].oidc_token[0].service_account_email == google_service_account.drain[0].email
    )
    error_message = "Another audience or account is a 401."
  }
}

run "nothing_without_a_name" {
  command = plan

  variables {
    reconcile = []
  }

  assert {
    condition = (
      length(google_cloud_scheduler_job.reconcile) == 0 &&
      !contains([for e in google_cloud_run_v2_service.plaudit.template[0].containers[0].env : e.name], "PLAUDIT_RECONCILE")
    )
    error_message = "A job that calls a route which is off would fail every ten minutes."
  }
}

run "not_in_the_small_profile" {
  command = plan

  variables {
    profile = "minimal"
  }

  assert {
    condition     = length(google_cloud_scheduler_job.reconcile) == 0
    error_message = "The small profile has no scheduler."
  }
}

run "a_credential_is_needed" {
  command = plan

  variables {
    secret_versions = { PLAUDIT_GITHUB_SECRET = "1" }
  }

  expect_failures = [var.reconcile]
}

run "gitlab_needs_its_own" {
  command = plan

  variables {
    reconcile = ["gitlab:group/project"]
  }

  expect_failures = [var.reconcile]
}

run "names_as_the_program_reads_them" {
  command = plan

  variables {
    reconcile          = ["octocat/hello"]
    reconcile_schedule = "every ten minutes"
  }

  expect_failures = [var.reconcile, var.reconcile_schedule]
}
