# The service's own account. It may only read the secrets named in var.secret_versions (secrets.tf), use the one database
# (store.tf) and publish to the one topic (pubsub.tf).
resource "google_service_account" "service" {
  account_id   = "${var.name}-service"
  display_name = "${var.name}: the service"

  depends_on = [terraform_data.apis_ready]
}

locals {
  environment = merge(
    var.settings,
    {
      PLAUDIT_STORE           = "firestore:${var.project_id}/${google_firestore_database.ledger.name}"
      PLAUDIT_PUBLISH         = "pubsub:${var.project_id}/${google_pubsub_topic.recognitions.name}"
      PLAUDIT_MILESTONES      = join(",", var.milestones)
      PLAUDIT_PUBLIC_READ     = tostring(var.public_read)
      PLAUDIT_COMMENT         = tostring(var.comment)
      PLAUDIT_LOG             = var.log
      PLAUDIT_LOG_FORMAT      = "json"
      PLAUDIT_REQUEST_TIMEOUT = tostring(var.request_timeout_seconds)
    },
    local.full ? {
      PLAUDIT_DRAIN_AUDIENCE = local.drain_audience
      PLAUDIT_DRAIN_EMAIL    = google_service_account.drain[0].email
    } : {},
    length(var.reconcile) == 0 ? {} : { PLAUDIT_RECONCILE = join(",", var.reconcile) },
    var.github_app_id == null ? {} : { PLAUDIT_GITHUB_APP_ID = var.github_app_id },
  )
}

# A grant takes effect after up to two minutes, rarely more. Before that Cloud Run refuses to deploy a revision that reads a
# secret, and a first revision that fails leaves a service behind that Terraform wants to replace and may not.
resource "terraform_data" "grants_ready" {
  triggers_replace = sort(keys(var.secret_versions))

  provisioner "local-exec" {
    command = "sleep 120"
  }

  depends_on = [
    google_project_iam_member.service_ledger,
    google_pubsub_topic_iam_member.service_publishes,
    google_secret_manager_secret_iam_member.service,
  ]
}

resource "google_cloud_run_v2_service" "plaudit" {
  name                 = var.name
  location             = var.region
  description          = "Counts contributions and recognises contributors."
  ingress              = "INGRESS_TRAFFIC_ALL"
  invoker_iam_disabled = var.public_access == "invoker_iam_disabled"
  deletion_protection  = var.deletion_protection

  scaling {
    min_instance_count = var.min_instances
  }

  template {
    service_account                  = google_service_account.service.email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    max_instance_request_concurrency = var.concurrency
    timeout                          = "${var.request_timeout_seconds}s"

    scaling {
      max_instance_count = var.max_instances
    }

    containers {
      image = var.image

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = var.cpu, memory = var.memory }
        cpu_idle          = var.cpu_idle
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = local.environment
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = var.secret_versions
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = google_secret_manager_secret.secrets[env.key].secret_id
              version = env.value
            }
          }
        }
      }

      # Both probes check that the process runs, not that the store answers: restarting an instance repairs no database.
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 30
        http_get {
          path = "/healthz"
        }
      }

      liveness_probe {
        period_seconds    = 15
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/healthz"
        }
      }
    }
  }

  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
  }

  # It does not wait for Firestore's indexes, which take many minutes: recording a contribution needs none. Until a list's
  # index is built, that list is answered with 503.
  depends_on = [terraform_data.grants_ready]
}

# Git hosts have no Google identity, so everyone may call the service; the program verifies each delivery's signature.
resource "google_cloud_run_v2_service_iam_member" "everyone" {
  count = var.public_access == "allUsers" ? 1 : 0

  name     = google_cloud_run_v2_service.plaudit.name
  location = google_cloud_run_v2_service.plaudit.location
  role     = "roles/run.invoker"
  member   = "allUsers"
}
