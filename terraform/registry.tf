# The registry of the images. A pushed tag can be neither moved nor removed; images without a tag are deleted after a month.
resource "google_artifact_registry_repository" "images" {
  # checkov:skip=CKV_GCP_84:The images hold no secrets; the source is public.
  repository_id = var.name
  location      = var.region
  format        = "DOCKER"
  description   = "Images of ${var.name}."

  docker_config {
    immutable_tags = true
  }

  cleanup_policies {
    id     = "keep-the-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }

  cleanup_policies {
    id     = "drop-untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "2592000s"
    }
  }

  depends_on = [terraform_data.apis_ready]
}
