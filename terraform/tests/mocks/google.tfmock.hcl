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
