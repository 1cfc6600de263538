# The secrets, without values. Their versions are added with gcloud (output secret_commands), so that no value is ever in a
# state file or a plan. var.secret_versions names the version that runs by its number, so that a new value is a deployment.
locals {
  secret_ids = {
    PLAUDIT_GITHUB_SECRET        = "${var.name}-github-secret"
    PLAUDIT_GITLAB_SIGNING_TOKEN = "${var.name}-gitlab-signing-token"
    PLAUDIT_GITLAB_SECRET        = "${var.name}-gitlab-secret"
    PLAUDIT_API_TOKENS           = "${var.name}-api-tokens"
    PLAUDIT_POST_TOKENS          = "${var.name}-post-tokens"
    PLAUDIT_READ_TOKENS          = "${var.name}-read-tokens"
    PLAUDIT_FORGET_KEY           = "${var.name}-forget-key"
    PLAUDIT_GITHUB_TOKEN         = "${var.name}-github-token"
    PLAUDIT_GITHUB_APP_KEY       = "${var.name}-github-app-key"
    PLAUDIT_GITLAB_TOKEN         = "${var.name}-gitlab-token"
  }

  # For filters of the log.
  secret_names = join("|", sort(values(local.secret_ids)))
}

resource "google_secret_manager_secret" "secrets" {
  for_each = local.secret_ids

  secret_id           = each.value
  deletion_protection = var.deletion_protection

  # Stored in the same region as the data.
  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [terraform_data.apis_ready]
}

# Google logs who reads a secret only where this asks for it; an alert reads those lines. It holds for all secrets of the
# project. Another configuration of the same for this service would replace it.
resource "google_project_iam_audit_config" "secrets" {
  count = local.full && var.audit_secret_access ? 1 : 0

  project = var.project_id
  service = "secretmanager.googleapis.com"

  audit_log_config {
    log_type = "DATA_READ"
  }

  depends_on = [terraform_data.apis_ready]
}

# The service may read exactly the secrets that var.secret_versions names.
resource "google_secret_manager_secret_iam_member" "service" {
  for_each = var.secret_versions

  secret_id = google_secret_manager_secret.secrets[each.key].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.service.member
}
