# The secrets, empty. Their versions are made outside (output secret_commands), so that no value is ever in a state file
# or a plan. Which version runs is var.secret_versions: a pinned number, so that a rotation is a deployment.
locals {
  secret_ids = {
    PLAUDIT_GITHUB_SECRET        = "${var.name}-github-secret"
    PLAUDIT_GITLAB_SIGNING_TOKEN = "${var.name}-gitlab-signing-token"
    PLAUDIT_GITLAB_SECRET        = "${var.name}-gitlab-secret"
    PLAUDIT_API_TOKENS           = "${var.name}-api-tokens"
    PLAUDIT_GITHUB_TOKEN         = "${var.name}-github-token"
    PLAUDIT_GITHUB_APP_KEY       = "${var.name}-github-app-key"
  }
}

resource "google_secret_manager_secret" "secrets" {
  for_each = local.secret_ids

  secret_id           = each.value
  deletion_protection = var.deletion_protection

  # Kept in the one region: secrets go nowhere the data does not.
  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.apis]
}

# Each wired secret may be read by the service, one by one; the others by nobody.
resource "google_secret_manager_secret_iam_member" "service" {
  for_each = var.secret_versions

  secret_id = google_secret_manager_secret.secrets[each.key].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.service.member
}
