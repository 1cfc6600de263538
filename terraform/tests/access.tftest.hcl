# The grants: exactly these.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "only_these_roles_are_ever_granted" {
  command = plan

  # Read from the sources, so that a grant added anywhere has to be added here too.
  assert {
    condition = toset(flatten(regexall("role\\s+= \"(roles/[A-Za-z.]+)\"", join("\n", [for f in fileset(path.root, "*.tf") : file("${path.root}/${f}")])))) == toset([
      "roles/datastore.user",
      "roles/pubsub.publisher",
      "roles/pubsub.subscriber",
      "roles/run.invoker",
      "roles/secretmanager.secretAccessor",
    ])
    error_message = "A role is granted that this test does not know: is it the narrowest one?"
  }

  assert {
    condition = sort(flatten(regexall("resource \"(google_[a-z0-9_]+_iam_[a-z_]+)\"", join("\n", [for f in fileset(path.root, "*.tf") : file("${path.root}/${f}")])))) == tolist([
      "google_cloud_run_v2_service_iam_member",
      "google_project_iam_audit_config",
      "google_project_iam_member",
      "google_pubsub_subscription_iam_member",
      "google_pubsub_topic_iam_member",
      "google_pubsub_topic_iam_member",
      "google_secret_manager_secret_iam_member",
    ])
    error_message = "A grant was added or removed. Bindings and policies would also drop what others granted."
  }
}

run "the_service_reaches_only_its_own_database" {
  command = plan

  assert {
    condition     = google_project_iam_member.service_ledger.role == "roles/datastore.user"
    error_message = "The service reads and writes documents; it administers nothing."
  }

  assert {
    condition     = google_project_iam_member.service_ledger.condition[0].expression == "resource.name == \"projects/acme-thanks/databases/plaudit\""
    error_message = "The grant on the project must be limited to the one database."
  }

  assert {
    condition     = google_project_iam_member.service_ledger.member == google_service_account.service.member
    error_message = "The grant is the service's."
  }
}

run "the_service_publishes_to_the_one_topic" {
  command = plan

  assert {
    condition = (
      google_pubsub_topic_iam_member.service_publishes.role == "roles/pubsub.publisher" &&
      google_pubsub_topic_iam_member.service_publishes.topic == google_pubsub_topic.recognitions.id &&
      google_pubsub_topic_iam_member.service_publishes.member == google_service_account.service.member
    )
    error_message = "The service may publish recognitions, and only those."
  }
}

run "the_service_is_nobody_else" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.plaudit.template[0].service_account == google_service_account.service.email
    error_message = "The service must run as its own account, not as the project's default one."
  }

  assert {
    condition     = google_service_account.service.account_id != google_service_account.drain[0].account_id
    error_message = "The account that calls the drain must not be the service's own."
  }
}

run "everyone_may_call_by_a_grant" {
  command = plan

  assert {
    condition = (
      length(google_cloud_run_v2_service_iam_member.everyone) == 1 &&
      google_cloud_run_v2_service_iam_member.everyone[0].role == "roles/run.invoker" &&
      google_cloud_run_v2_service_iam_member.everyone[0].member == "allUsers" &&
      google_cloud_run_v2_service.plaudit.invoker_iam_disabled == false
    )
    error_message = "Git hosts have no Google identity: allUsers may call, and the check stays on."
  }
}

run "or_by_turning_the_check_off" {
  command = plan

  variables {
    public_access = "invoker_iam_disabled"
  }

  assert {
    condition = (
      length(google_cloud_run_v2_service_iam_member.everyone) == 0 &&
      google_cloud_run_v2_service.plaudit.invoker_iam_disabled == true
    )
    error_message = "Where allUsers is forbidden, no such grant may be tried."
  }
}
