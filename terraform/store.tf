# The ledger: a separate Firestore database, so that the service's grant can be limited to it.
resource "google_firestore_database" "ledger" {
  name        = var.name
  location_id = coalesce(var.database_location, var.region)
  type        = "FIRESTORE_NATIVE"

  # Any minute of the last seven days can be read or exported.
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"

  # Two protections: Google's API refuses to delete the database, and Terraform refuses to plan it.
  delete_protection_state = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy         = var.deletion_protection ? "PREVENT" : "DELETE"

  depends_on = [terraform_data.apis_ready]
}

resource "google_firestore_backup_schedule" "daily" {
  count = local.full ? 1 : 0

  database  = google_firestore_database.ledger.name
  retention = "${var.backup_retention_days * 86400}s"

  daily_recurrence {}
}

# One file lists the indexes, in the format of the Firebase CLI. The program's tests check every query it can send against
# the same file, because the emulator answers a query without an index and the real Firestore does not.
locals {
  firestore = jsondecode(file("${path.module}/firestore-indexes.json"))

  # Firestore ends every index with __name__, in the direction of the last field (ascending after an array).
  # Writing it out keeps the plan quiet after the first apply.
  firestore_indexes = {
    for index in local.firestore.indexes :
    join("-", concat([index.collectionGroup], [for f in index.fields : "${f.fieldPath}:${try(f.order, f.arrayConfig)}"])) => merge(index, {
      fields = concat(
        [for f in index.fields : { path = f.fieldPath, order = try(f.order, null), array = try(f.arrayConfig, null) }],
        index.fields[length(index.fields) - 1].fieldPath == "__name__" ? [] : [
          { path = "__name__", order = try(index.fields[length(index.fields) - 1].order, "ASCENDING"), array = null }
        ],
      )
    })
  }

  # Firestore indexes every field by default, and each index adds to the price of each write. In each collection `*` turns that
  # off, for fields to come too; the other entries have the only indexes of one field that a query uses.
  firestore_collections = toset([for f in local.firestore.fieldOverrides : f.collectionGroup if f.fieldPath == "*"])
  firestore_fields      = { for f in local.firestore.fieldOverrides : "${f.collectionGroup}.${f.fieldPath}" => f if f.fieldPath != "*" }
}

resource "google_firestore_index" "indexes" {
  for_each = local.firestore_indexes

  database    = google_firestore_database.ledger.name
  collection  = each.value.collectionGroup
  query_scope = each.value.queryScope

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path   = fields.value.path
      order        = fields.value.order
      array_config = fields.value.array
    }
  }
}

resource "google_firestore_field" "exemptions" {
  for_each = local.firestore_collections

  database   = google_firestore_database.ledger.name
  collection = each.value
  field      = "*"

  index_config {}
}

# Firestore changes one field configuration of a database at a time and answers 409 to others. The provider tries again;
# fewer at a time mean fewer tries.
resource "google_firestore_field" "fields" {
  for_each = local.firestore_fields

  database   = google_firestore_database.ledger.name
  collection = each.value.collectionGroup
  field      = each.value.fieldPath

  index_config {
    dynamic "indexes" {
      for_each = each.value.indexes
      content {
        query_scope  = indexes.value.queryScope
        order        = try(indexes.value.order, null)
        array_config = try(indexes.value.arrayConfig, null)
      }
    }
  }

  depends_on = [google_firestore_field.exemptions]
}

# Google can grant this role only for a whole project; the condition limits it to this database.
resource "google_project_iam_member" "service_ledger" {
  project = var.project_id
  role    = "roles/datastore.user"
  member  = google_service_account.service.member

  condition {
    title       = "only-${var.name}"
    description = "Only the database of ${var.name}."
    expression  = "resource.name == \"projects/${var.project_id}/databases/${google_firestore_database.ledger.name}\""
  }
}
