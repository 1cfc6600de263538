# No secret value in a state file, a plan or the description of the service.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "none_wired_at_first" {
  command = plan

  assert {
    condition     = length(google_secret_manager_secret.secrets) == 10 && length(google_secret_manager_secret_iam_member.service) == 0
    error_message = "A secret without a version must exist, and no account may read it."
  }

  assert {
    condition     = alltrue([for e in google_cloud_run_v2_service.plaudit.template[0].containers[0].env : length(e.value_source) == 0])
    error_message = "A service that names a version which does not exist would not start."
  }
}

run "wired_one_by_one_and_pinned" {
  command = plan

  variables {
    secret_versions = { PLAUDIT_GITHUB_SECRET = "2", PLAUDIT_API_TOKENS = "7" }
  }

  assert {
    condition = {
      for e in google_cloud_run_v2_service.plaudit.template[0].containers[0].env :
      e.name => [e.value_source[0].secret_key_ref[0].secret, e.value_source[0].secret_key_ref[0].version] if length(e.value_source) > 0
      } == {
      PLAUDIT_GITHUB_SECRET = ["plaudit-github-secret", "2"]
      PLAUDIT_API_TOKENS    = ["plaudit-api-tokens", "7"]
    }
    error_message = "Each wired secret comes from Secret Manager, in the version that was asked for."
  }

  assert {
    condition = alltrue([
      for e in google_cloud_run_v2_service.plaudit.template[0].containers[0].env :
      can(regex("^[0-9]+$", e.value_source[0].secret_key_ref[0].version)) if length(e.value_source) > 0
    ])
    error_message = "A version must be a number, never \"latest\"."
  }

  assert {
    condition = {
      for k, m in google_secret_manager_secret_iam_member.service : k => [m.secret_id == google_secret_manager_secret.secrets[k].id, m.role, m.member]
      } == {
      for k in ["PLAUDIT_GITHUB_SECRET", "PLAUDIT_API_TOKENS"] : k => [true, "roles/secretmanager.secretAccessor", google_service_account.service.member]
    }
    error_message = "The service may read each wired secret and no other."
  }
}

run "never_in_plain_env" {
  command = plan

  variables {
    comment         = true
    github_app_id   = "4711"
    secret_versions = { PLAUDIT_GITHUB_SECRET = "1", PLAUDIT_GITLAB_SIGNING_TOKEN = "1", PLAUDIT_GITLAB_SECRET = "1", PLAUDIT_API_TOKENS = "1", PLAUDIT_POST_TOKENS = "1", PLAUDIT_READ_TOKENS = "1", PLAUDIT_FORGET_KEY = "1", PLAUDIT_GITHUB_APP_KEY = "1" }
  }

  assert {
    condition = alltrue([
      for e in google_cloud_run_v2_service.plaudit.template[0].containers[0].env :
      length(e.value_source) == 1 && e.value == null if can(regex("SECRET|TOKEN|KEY|PASSWORD", e.name))
    ])
    error_message = "A variable that holds a secret must come from Secret Manager."
  }
}

run "no_value_in_the_state" {
  command = plan

  assert {
    condition     = !can(regex("google_secret_manager_secret_version", join("\n", [for f in fileset(path.root, "*.tf") : file("${path.root}/${f}")])))
    error_message = "Versions must not be created here: Terraform would store their values in its state."
  }
}

run "how_to_set_them_is_printed" {
  command = plan

  assert {
    condition     = output.secret_commands["PLAUDIT_GITHUB_SECRET"] == "gcloud secrets versions add plaudit-github-secret --project=acme-thanks --data-file=-"
    error_message = "The command must name the secret and read the value from standard input, never from the command line."
  }
}
