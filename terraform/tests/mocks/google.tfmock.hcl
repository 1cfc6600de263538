# What Google would answer, as far as the promises depend on it.
mock_data "google_project" {
  defaults = { number = "123456789012" }
}

mock_resource "google_cloud_run_v2_service" {
  defaults = {
    id  = "projects/acme-thanks/locations/europe-west1/services/plaudit"
    uri = "https://plaudit-abc123-ew.a.run.app"
  }
}

override_resource {
  target = google_service_account.service
  values = {
    email  = "plaudit-service@acme-thanks.iam.gserviceaccount.com"
    member = "serviceAccount:plaudit-service@acme-thanks.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.drain
  values = {
    email  = "plaudit-drain@acme-thanks.iam.gserviceaccount.com"
    member = "serviceAccount:plaudit-drain@acme-thanks.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_pubsub_topic.recognitions
  values = {
    id = "projects/acme-thanks/topics/plaudit-recognitions"
  }
}

override_resource {
  target = google_pubsub_topic.dead_letters
  values = {
    id = "projects/acme-thanks/topics/plaudit-dead-letters"
  }
}

override_resource {
  target = google_pubsub_subscription.example
  values = {
    id = "projects/acme-thanks/subscriptions/plaudit-example"
  }
}

override_resource {
  target = google_pubsub_subscription.dead_letters
  values = {
    id = "projects/acme-thanks/subscriptions/plaudit-dead-letters"
  }
}

override_resource {
  target = google_pubsub_schema.recognition
  values = {
    id = "projects/acme-thanks/schemas/plaudit-recognition-v1"
  }
}

override_resource {
  target = google_secret_manager_secret.secrets["PLAUDIT_GITHUB_SECRET"]
  values = {
    id = "projects/acme-thanks/secrets/plaudit-github-secret"
  }
}

override_resource {
  target = google_secret_manager_secret.secrets["PLAUDIT_GITLAB_SIGNING_TOKEN"]
  values = {
    id = "projects/acme-thanks/secrets/plaudit-gitlab-signing-token"
  }
}

override_resource {
  target = google_secret_manager_secret.secrets["PLAUDIT_GITLAB_SECRET"]
  values = {
    id = "projects/acme-thanks/secrets/plaudit-gitlab-secret"
  }
}

override_resource {
  target = google_secret_manager_secret.secrets["PLAUDIT_API_TOKENS"]
  values = {
    id = "projects/acme-thanks/secrets/plaudit-api-tokens"
  }
}

override_resource {
  target = google_secret_manager_secret.secrets["PLAUDIT_POST_TOKENS"]
  values = {
    id = "projects/acme-thanks/secrets/plaudit-post-tokens"
  }
}

override_resource {
  target = google_secret_manager_secret.secrets["PLAUDIT_READ_TOKENS"]
  values = {
    id = "projects/acme-thanks/secrets/plaudit-read-tokens"
  }
}

override_resource {
  target = google_secret_manager_secret.secrets["PLAUDIT_FORGET_KEY"]
  values = {
    id = "projects/acme-thanks/secrets/plaudit-forget-key"
  }
}

override_resource {
  target = google_secret_manager_secret.secrets["PLAUDIT_GITHUB_TOKEN"]
  values = {
    id = "projects/acme-thanks/secrets/plaudit-github-token"
  }
}

override_resource {
  target = google_secret_manager_secret.secrets["PLAUDIT_GITHUB_APP_KEY"]
  values = {
    id = "projects/acme-thanks/secrets/plaudit-github-app-key"
  }
}

override_resource {
  target = google_secret_manager_secret.secrets["PLAUDIT_GITLAB_TOKEN"]
  values = {
    id = "projects/acme-thanks/secrets/plaudit-gitlab-token"
  }
}

override_resource {
  target = google_monitoring_slo.availability
  values = {
    name = "projects/123456789012/services/plaudit/serviceLevelObjectives/availability"
  }
}

override_resource {
  target = google_monitoring_slo.latency
  values = {
    name = "projects/123456789012/services/plaudit/serviceLevelObjectives/latency"
  }
}

override_resource {
  target = google_monitoring_uptime_check_config.outside
  values = {
    uptime_check_id = "plaudit-outside-xyz"
  }
}

override_resource {
  target = google_monitoring_dashboard.plaudit
  values = {
    id = "projects/acme-thanks/dashboards/1"
  }
}
