# Wrong inputs are refused before any request to Google. Each run has several; every one must be refused.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "where_and_what_to_run" {
  command = plan

  variables {
    project_id = "123456789012"
    region     = "europe-west1-b"
    image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:latest"
    name       = "a-name-that-is-much-too-long"
  }

  expect_failures = [var.project_id, var.region, var.image, var.name]
}

run "no_tag_at_all" {
  command = plan

  variables {
    name            = "abc"
    image           = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit"
    milestones      = []
    settings        = { PATH = "/" }
    secret_versions = { PLAUDIT_GITHUB_SECRET = "latest" }
  }

  expect_failures = [var.name, var.image, var.milestones, var.settings, var.secret_versions]
}

run "a_port_is_no_tag" {
  command = plan

  variables {
    image           = "localhost:5000/plaudit"
    milestones      = [10, 3]
    settings        = { PLAUDIT_GITHUB_SECRET = "x" }
    secret_versions = { PLAUDIT_GITHUB_SECRET = "0" }
  }

  expect_failures = [var.image, var.milestones, var.settings, var.secret_versions]
}

run "the_same_twice_ours_and_unknown" {
  command = plan

  variables {
    milestones      = [3, 3]
    settings        = { PLAUDIT_STORE = "sqlite:/tmp/x" }
    secret_versions = { PLAUDIT_GITHUB_SECRETS = "1" }
  }

  expect_failures = [var.milestones, var.settings, var.secret_versions]
}

run "half_a_milestone_and_an_open_api" {
  command = plan

  variables {
    milestones = [2.5]
    settings   = { PLAUDIT_OPEN_API = "true" }
  }

  expect_failures = [var.milestones, var.settings]
}

run "sizes" {
  command = plan

  variables {
    min_instances           = -1
    concurrency             = 1001
    memory                  = "512"
    request_timeout_seconds = 5
    public_access           = "everyone"
  }

  expect_failures = [var.min_instances, var.concurrency, var.memory, var.request_timeout_seconds, var.public_access]
}

run "half_of_anything_and_too_little_memory" {
  command = plan

  variables {
    concurrency             = 80.5
    memory                  = "256Mi"
    request_timeout_seconds = 60.5
    backup_retention_days   = 1.5
    profile                 = "small"
    log                     = "warn"
    github_app_id           = "my-app"
    database_location       = "Europe"
    labels                  = { Team = "thanks" }
    image                   = "ghcr.io/acme/plaudit:0.1.0"
  }

  expect_failures = [var.concurrency, var.memory, var.request_timeout_seconds, var.backup_retention_days, var.profile, var.log, var.github_app_id, var.database_location, var.labels, var.image]
}

run "no_such_cpu_and_a_log_without_the_program" {
  command = plan

  variables {
    cpu    = "0.5"
    log    = "info,plaudit=warn"
    labels = { team = "Thanks" }
  }

  expect_failures = [var.cpu, var.log, var.labels]
}

run "four_cpus_need_two_gib" {
  command = plan

  variables {
    cpu    = "4"
    memory = "1Gi"
  }

  expect_failures = [var.memory]
}

run "a_ceiling_below_the_floor" {
  command = plan

  variables {
    min_instances = 5
    max_instances = 2
  }

  expect_failures = [var.max_instances]
}

run "comment_without_a_credential" {
  command = plan

  variables {
    comment = true
  }

  expect_failures = [var.comment]
}

run "an_app_without_its_key" {
  command = plan

  variables {
    comment       = true
    github_app_id = "4711"
  }

  expect_failures = [var.comment]
}

run "watching_and_keeping" {
  command = plan

  variables {
    backup_retention_days = 365
    drain_schedule        = "every minute"
    notification_channels = ["ops@example.org"]
    availability_goal     = 1
    latency_goal          = 99
    latency_seconds       = 12
    outbox_alert_seconds  = 30
  }

  expect_failures = [var.backup_retention_days, var.drain_schedule, var.notification_channels, var.availability_goal, var.latency_goal, var.latency_seconds, var.outbox_alert_seconds]
}

run "a_digest_is_taken" {
  command = plan

  variables {
    image = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }

  assert {
    condition     = endswith(google_cloud_run_v2_service.plaudit.template[0].containers[0].image, "abcdef")
    error_message = "An image by digest is as good as one by tag."
  }
}
