# One apply on an empty project: what must come first does, and nothing waits for what it does not need.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "in_the_right_order" {
  command = plan

  assert {
    condition = toset([for a in google_project_service.apis : a.service]) == toset([
      "artifactregistry.googleapis.com", "cloudscheduler.googleapis.com", "firestore.googleapis.com", "iam.googleapis.com", "logging.googleapis.com",
      "monitoring.googleapis.com", "pubsub.googleapis.com", "run.googleapis.com", "secretmanager.googleapis.com",
    ])
    error_message = "Each of these APIs is used; one that is not enabled answers 403."
  }

  # The text is read, because a plan does not show what waits for what.
  assert {
    condition = toset(flatten([
      for f in fileset(path.root, "*.tf") : [
        for block in slice(split("\nresource ", file("${path.root}/${f}")), 1, length(split("\nresource ", file("${path.root}/${f}")))) :
        join(".", regex("^\"([a-z0-9_]+)\" \"([a-z_]+)\"", block)) if can(regex("\n  depends_on = \\[[^]]*terraform_data[.]apis_ready", block))
      ]
      ])) == toset([
      "google_artifact_registry_repository.images",
      "google_cloud_scheduler_job.drain",
      "google_cloud_scheduler_job.reconcile",
      "google_firestore_database.ledger",
      "google_logging_metric.counters",
      "google_logging_metric.distributions",
      "google_monitoring_alert_policy.lines",
      "google_monitoring_custom_service.plaudit",
      "google_monitoring_uptime_check_config.outside",
      "google_project_iam_audit_config.secrets",
      "google_pubsub_schema.recognition",
      "google_pubsub_topic.dead_letters",
      "google_pubsub_topic.recognitions",
      "google_secret_manager_secret.secrets",
      "google_service_account.drain",
      "google_service_account.service",
    ])
    error_message = "What needs no other resource must wait until its API answers."
  }

  assert {
    condition = toset(flatten([
      for f in fileset(path.root, "*.tf") : [
        for block in slice(split("\nresource ", file("${path.root}/${f}")), 1, length(split("\nresource ", file("${path.root}/${f}")))) :
        join(".", regex("^\"([a-z0-9_]+)\" \"([a-z_]+)\"", block)) if can(regex("\n  depends_on = \\[[^]]*terraform_data[.]metrics_ready", block))
      ]
      ])) == toset([
      "google_monitoring_alert_policy.absences",
      "google_monitoring_alert_policy.burns",
      "google_monitoring_alert_policy.thresholds",
      "google_monitoring_dashboard.plaudit",
      "google_monitoring_slo.availability",
      "google_monitoring_slo.latency",
    ])
    error_message = "Monitoring refuses a metric that it does not know yet."
  }

  assert {
    condition = alltrue([
      for waits, what in {
        "apis.tf"    = "\"apis_ready\" [{][^}]+command = \"sleep 60\"\n  }\n\n  depends_on = \\[google_project_service[.]apis]"
        "metrics.tf" = "\"metrics_ready\" [{][^}]+command = \"sleep 600\"\n  }\n\n  depends_on = \\[google_logging_metric[.]counters, google_logging_metric[.]distributions]"
        "service.tf" = "\"grants_ready\" [{][^}]+command = \"sleep 120\"\n  }\n\n  depends_on = \\[\n    google_project_iam_member[.]service_ledger,\n    google_pubsub_topic_iam_member[.]service_publishes,\n    google_secret_manager_secret_iam_member[.]service,\n  ]"
      } : can(regex(what, file("${path.root}/${waits}")))
    ])
    error_message = "Each wait is long enough, and comes after what it waits for."
  }

  assert {
    condition     = can(regex("\n  depends_on = \\[terraform_data[.]grants_ready]", file("${path.root}/service.tf")))
    error_message = "A revision that may not read its secret yet is not deployed. Nothing else is waited for: not Firestore's indexes."
  }

  assert {
    condition     = strcontains(file("${path.root}/drain.tf"), "depends_on = [google_firestore_field.fields, google_firestore_index.indexes, terraform_data.apis_ready]")
    error_message = "A drain whose queries have no index fails every minute, and rings."
  }

  assert {
    condition     = strcontains(file("${path.root}/store.tf"), "  depends_on = [google_firestore_field.exemptions]")
    error_message = "Firestore refuses two changes of field configurations at once."
  }

  assert {
    condition     = google_firestore_database.ledger.type == "FIRESTORE_NATIVE" && google_firestore_database.ledger.name == "plaudit"
    error_message = "A database in Datastore mode can neither be used nor changed back."
  }

  assert {
    condition     = terraform_data.metrics_ready[0].triggers_replace == sort(concat(keys(google_logging_metric.counters), keys(google_logging_metric.distributions)))
    error_message = "A metric that is added later must be waited for too."
  }
}

run "a_secret_wired_later_is_waited_for" {
  command = plan

  variables {
    secret_versions = { PLAUDIT_GITHUB_SECRET = "1" }
  }

  assert {
    condition     = terraform_data.grants_ready.triggers_replace == tolist(["PLAUDIT_GITHUB_SECRET"])
    error_message = "Its grant is new."
  }
}

# Google leaves out what is zero, empty or false; a plan would show it as a change for ever.
run "a_second_plan_is_empty" {
  command = plan

  assert {
    condition     = !can(regex("(:0[,}]|\\[]|[{]}|:null|:false)", google_monitoring_dashboard.plaudit[0].dashboard_json))
    error_message = "The dashboard has no zeros and nothing empty."
  }

  assert {
    condition     = toset([for t in jsondecode(google_monitoring_dashboard.plaudit[0].dashboard_json).mosaicLayout.tiles : try(t.xPos, 0)]) == toset([0, 24])
    error_message = "Two charts in a row."
  }
}
