# The Google APIs that this configuration needs. They stay enabled after a destroy: others in the project may use them.
resource "google_project_service" "apis" {
  for_each = toset([
    "artifactregistry", "cloudscheduler", "firestore", "iam", "logging", "monitoring", "pubsub", "run", "secretmanager",
  ])

  project            = var.project_id
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}
