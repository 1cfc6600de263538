# What must not be deleted or leave the region.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "locked_by_default" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.plaudit.deletion_protection == true
    error_message = "The service must refuse to be destroyed."
  }

  assert {
    condition = (
      google_firestore_database.ledger.delete_protection_state == "DELETE_PROTECTION_ENABLED" &&
      google_firestore_database.ledger.deletion_policy == "PREVENT"
    )
    error_message = "The ledger must refuse to be destroyed, here and at the API."
  }

  assert {
    condition     = alltrue([for s in google_secret_manager_secret.secrets : s.deletion_protection])
    error_message = "The secrets must refuse to be destroyed."
  }
}

run "unlocked_on_purpose" {
  command = plan

  variables {
    deletion_protection = false
  }

  assert {
    condition = (
      google_cloud_run_v2_service.plaudit.deletion_protection == false &&
      google_firestore_database.ledger.delete_protection_state == "DELETE_PROTECTION_DISABLED" &&
      google_firestore_database.ledger.deletion_policy == "DELETE" &&
      !anytrue([for s in google_secret_manager_secret.secrets : s.deletion_protection])
    )
    error_message = "One variable unlocks everything, so that destroy leaves nothing behind."
  }
}

run "can_be_brought_back" {
  command = plan

  variables {
    backup_retention_days = 10
  }

  assert {
    condition     = google_firestore_database.ledger.point_in_time_recovery_enablement == "POINT_IN_TIME_RECOVERY_ENABLED"
    error_message = "Any minute of the last week must be readable."
  }

  assert {
    condition = (
      length(google_firestore_backup_schedule.daily[0].daily_recurrence) == 1 &&
      google_firestore_backup_schedule.daily[0].retention == "864000s" &&
      google_firestore_backup_schedule.daily[0].database == google_firestore_database.ledger.name
    )
    error_message = "There must be a backup each day."
  }
}

run "stays_in_the_region" {
  command = plan

  assert {
    condition     = google_firestore_database.ledger.location_id == "europe-west1"
    error_message = "By default the ledger is in the region."
  }

  assert {
    condition = alltrue([
      for t in [google_pubsub_topic.recognitions, google_pubsub_topic.dead_letters[0]] :
      tolist(t.message_storage_policy[0].allowed_persistence_regions) == tolist(["europe-west1"])
    ])
    error_message = "Messages rest in the region only."
  }

  assert {
    condition = alltrue([
      for s in google_secret_manager_secret.secrets : [for r in s.replication[0].user_managed[0].replicas : r.location] == ["europe-west1"]
    ])
    error_message = "Secrets are kept in the region only."
  }
}

run "apis_outlive_it" {
  command = plan

  assert {
    condition     = alltrue([for a in google_project_service.apis : a.disable_on_destroy == false])
    error_message = "Destroying this must not switch off an API that others use."
  }
}

run "a_tag_names_one_image_for_good" {
  command = plan

  assert {
    condition     = google_artifact_registry_repository.images.docker_config[0].immutable_tags == true
    error_message = "A tag may be given as the image only because it cannot be moved."
  }

  assert {
    condition     = toset([for p in google_artifact_registry_repository.images.cleanup_policies : p.action]) == toset(["KEEP", "DELETE"])
    error_message = "Old images must go, and the newest stay."
  }
}
