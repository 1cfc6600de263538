# The Google APIs that this configuration needs. They stay enabled after a destroy: others in the project may use them.
locals {
  full = var.profile == "full"

  apis = concat(
    ["artifactregistry", "firestore", "iam", "pubsub", "run", "secretmanager"],
    local.full ? ["cloudscheduler", "logging", "monitoring"] : [],
  )
}

resource "google_project_service" "apis" {
  for_each = toset(local.apis)

  project            = var.project_id
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}

# An API that was just enabled answers 403 (SERVICE_DISABLED) for about a minute. Everything that needs no other resource
# waits for this. The waits are a built-in resource and `sleep`, so that they need no second provider.
resource "terraform_data" "apis_ready" {
  triggers_replace = sort(local.apis)

  provisioner "local-exec" {
    command = "sleep 60"
  }

  depends_on = [google_project_service.apis]
}
