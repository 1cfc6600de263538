# The Google APIs this needs. They stay on when this is destroyed: others in the project may use them.
resource "google_project_service" "apis" {
  for_each = toset([
    "artifactregistry", "cloudscheduler", "firestore", "iam", "logging", "monitoring", "pubsub", "run", "secretmanager",
  ])

  project            = var.project_id
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}
