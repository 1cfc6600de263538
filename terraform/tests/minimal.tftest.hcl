# profile = "minimal": enough to see it run.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "nothing_but_the_service" {
  command = plan

  variables {
    profile = "minimal"
  }

  assert {
    condition = (
      google_cloud_run_v2_service.plaudit.name == "plaudit" && google_firestore_database.ledger.name == "plaudit" &&
      google_pubsub_topic.recognitions.name == "plaudit-recognitions" && length(google_secret_manager_secret.secrets) == 10 &&
      google_artifact_registry_repository.images.repository_id == "plaudit"
    )
    error_message = "The service, its database, its topic, its secrets and its registry."
  }

  assert {
    condition = 0 == sum([
      length(google_cloud_scheduler_job.drain), length(google_service_account.drain), length(google_firestore_backup_schedule.daily),
      length(google_pubsub_topic.dead_letters), length(google_pubsub_subscription.dead_letters), length(google_pubsub_subscription.example),
      length(google_pubsub_topic_iam_member.agent_gives_dead_letters), length(google_pubsub_subscription_iam_member.agent_takes_dead_letters),
      length(google_logging_metric.counters), length(google_logging_metric.distributions), length(terraform_data.metrics_ready),
      length(google_monitoring_alert_policy.burns), length(google_monitoring_alert_policy.thresholds), length(google_monitoring_alert_policy.absences),
      length(google_monitoring_alert_policy.lines), length(google_monitoring_slo.availability), length(google_monitoring_slo.latency),
      length(google_monitoring_custom_service.plaudit), length(google_monitoring_dashboard.plaudit), length(google_monitoring_uptime_check_config.outside),
      length(google_project_iam_audit_config.secrets),
    ])
    error_message = "And nothing else."
  }

  assert {
    condition     = !anytrue([for e in google_cloud_run_v2_service.plaudit.template[0].containers[0].env : startswith(e.name, "PLAUDIT_DRAIN_")])
    error_message = "No account calls the drain."
  }

  assert {
    condition = toset([for a in google_project_service.apis : a.service]) == toset([
      "artifactregistry.googleapis.com", "firestore.googleapis.com", "iam.googleapis.com", "pubsub.googleapis.com", "run.googleapis.com", "secretmanager.googleapis.com",
    ])
    error_message = "Only the APIs of what is created."
  }

  assert {
    condition     = output.dashboard == null && output.dead_letter_subscription == null && output.example_subscription == null && output.url == "https://plaudit-abc123-ew.a.run.app"
    error_message = "Outputs of what does not exist are null."
  }
}
