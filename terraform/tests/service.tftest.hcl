# How the service runs.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "asked_whether_it_lives" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.plaudit.template[0].containers[0].startup_probe[0].http_get[0].path == "/healthz"
    error_message = "No traffic before the program says it lives."
  }

  assert {
    condition     = google_cloud_run_v2_service.plaudit.template[0].containers[0].liveness_probe[0].http_get[0].path == "/healthz"
    error_message = "An instance that hangs must be replaced; a database that hangs must not cause it (so not /readyz)."
  }
}

run "bounded" {
  command = plan

  variables {
    min_instances = 1
    max_instances = 7
    concurrency   = 120
  }

  assert {
    condition     = google_cloud_run_v2_service.plaudit.scaling[0].min_instance_count == 1
    error_message = "min_instances must reach the service."
  }

  assert {
    condition     = google_cloud_run_v2_service.plaudit.template[0].scaling[0].max_instance_count == 7
    error_message = "max_instances must reach the service."
  }

  assert {
    condition     = google_cloud_run_v2_service.plaudit.template[0].max_instance_request_concurrency == 120
    error_message = "concurrency must reach the service."
  }
}

run "cpu_only_while_answering_unless_told" {
  command = plan

  assert {
    condition = (
      google_cloud_run_v2_service.plaudit.template[0].containers[0].resources[0].cpu_idle == true &&
      google_cloud_run_v2_service.plaudit.template[0].containers[0].resources[0].startup_cpu_boost == true &&
      google_cloud_run_v2_service.plaudit.scaling[0].min_instance_count == 0
    )
    error_message = "By default nothing is paid for at rest, and a start is fast."
  }
}

run "cpu_always" {
  command = plan

  variables {
    cpu_idle = false
  }

  assert {
    condition     = google_cloud_run_v2_service.plaudit.template[0].containers[0].resources[0].cpu_idle == false
    error_message = "cpu_idle must reach the service."
  }
}

run "told_where_everything_is" {
  command = plan

  variables {
    milestones    = [3, 10, 25]
    github_app_id = "4711"
    settings      = { PLAUDIT_BRANCHES = "all" }
  }

  assert {
    condition = { for e in google_cloud_run_v2_service.plaudit.template[0].containers[0].env : e.name => e.value } == {
      PLAUDIT_BRANCHES       = "all"
      PLAUDIT_COMMENT        = "false"
      PLAUDIT_DRAIN_AUDIENCE = "plaudit-drain"
      PLAUDIT_DRAIN_EMAIL    = "plaudit-drain@acme-thanks.iam.gserviceaccount.com"
      PLAUDIT_GITHUB_APP_ID  = "4711"
      PLAUDIT_LOG            = "info"
      PLAUDIT_LOG_FORMAT     = "json"
      PLAUDIT_MILESTONES     = "3,10,25"
      PLAUDIT_PUBLIC_READ    = "false"
      PLAUDIT_PUBLISH        = "pubsub:acme-thanks/plaudit-recognitions"
      PLAUDIT_STORE          = "firestore:acme-thanks/plaudit"

      PLAUDIT_REQUEST_TIMEOUT = "300"
    }
    error_message = "The program's environment is this, in plain sight, and nothing else."
  }
}

run "the_urls_are_printed" {
  command = plan

  assert {
    condition = (
      output.url == "https://plaudit-abc123-ew.a.run.app" &&
      output.docs_url == "https://plaudit-abc123-ew.a.run.app/docs" &&
      output.webhook_urls == {
        github = "https://plaudit-abc123-ew.a.run.app/webhooks/github"
        gitlab = "https://plaudit-abc123-ew.a.run.app/webhooks/gitlab"
      }
    )
    error_message = "The outputs are what is entered at the hosts."
  }
}

run "labelled" {
  command = plan

  variables {
    labels = { team = "thanks" }
  }

  assert {
    condition     = local.labels == { app = "plaudit", managed-by = "terraform", team = "thanks" }
    error_message = "Everything that costs money says whose it is."
  }

  assert {
    condition     = strcontains(file("${path.root}/versions.tf"), "default_labels = local.labels")
    error_message = "The provider puts the labels on everything."
  }
}
