terraform {
  # Validation that looks at other variables needs 1.9; mocks in tests with computed values need 1.11.
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.0, < 9.0"
    }
  }
}

# Every resource that can carry labels carries these, without each file repeating them.
provider "google" {
  project        = var.project_id
  region         = var.region
  default_labels = local.labels
}

locals {
  labels = merge({ app = var.name, managed-by = "terraform" }, var.labels)
}

data "google_project" "this" {
  project_id = var.project_id
}
