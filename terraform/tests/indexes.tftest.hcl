# The ledger's indexes come from the file that the program's tests read.
mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id = "acme-thanks"
  region     = "europe-west1"
  image      = "europe-west1-docker.pkg.dev/acme-thanks/plaudit/plaudit:0.1.0"
}

run "every_index_of_the_file" {
  command = plan

  assert {
    condition = {
      for i in google_firestore_index.indexes : join(" ", concat([i.collection], [for f in i.fields : "${f.field_path}:${try(coalesce(f.order, f.array_config), "?")}"])) => i.query_scope
      } == {
      "contributors recognized:ASCENDING tally:ASCENDING __name__:ASCENDING"                                                                = "COLLECTION"
      "contributors host:ASCENDING tally:DESCENDING __name__:DESCENDING"                                                                    = "COLLECTION"
      "contributors host:ASCENDING login:ASCENDING __name__:ASCENDING"                                                                      = "COLLECTION"
      "contributions contributor:ASCENDING private:ASCENDING retracted:ASCENDING recorded_at:DESCENDING __name__:DESCENDING"                = "COLLECTION"
      "contributions contributor:ASCENDING kind:ASCENDING private:ASCENDING retracted:ASCENDING recorded_at:DESCENDING __name__:DESCENDING" = "COLLECTION"
      "contributions repository:ASCENDING private:ASCENDING retracted:ASCENDING recorded_at:DESCENDING __name__:DESCENDING"                 = "COLLECTION"
      "contributions repository:ASCENDING kind:ASCENDING private:ASCENDING retracted:ASCENDING recorded_at:DESCENDING __name__:DESCENDING"  = "COLLECTION"
      "contributions private:ASCENDING id:ASCENDING __name__:ASCENDING"                                                                     = "COLLECTION"
      "recognitions contribution.private:ASCENDING contribution.id:ASCENDING __name__:ASCENDING"                                            = "COLLECTION"
      "recognitions contributor:ASCENDING recognized_at:DESCENDING __name__:DESCENDING"                                                     = "COLLECTION"
      "recognitions due:CONTAINS recognized_at:ASCENDING __name__:ASCENDING"                                                                = "COLLECTION"
    }
    error_message = "Firestore must have exactly the indexes of firestore-indexes.json, each ending in __name__."
  }

  assert {
    condition     = length(google_firestore_index.indexes) == length(jsondecode(file("${path.root}/firestore-indexes.json")).indexes)
    error_message = "No index of the file may be lost on the way."
  }

  # "this index is not necessary, configure using single field index controls"; and __name__ goes the way of the last field.
  assert {
    condition = alltrue([
      for i in google_firestore_index.indexes : length(i.fields) > 2 && i.fields[length(i.fields) - 1].field_path == "__name__" &&
      i.fields[length(i.fields) - 1].order == coalesce(i.fields[length(i.fields) - 2].order, "ASCENDING")
    ])
    error_message = "Firestore refuses a composite index of one field, and mixed directions at its end."
  }
}

run "every_exemption_of_the_file" {
  command = plan

  assert {
    condition = alltrue([
      for f in jsondecode(file("${path.root}/firestore-indexes.json")).fieldOverrides :
      toset([for i in google_firestore_field.fields["${f.collectionGroup}.${f.fieldPath}"].index_config[0].indexes : "${i.query_scope} ${try(coalesce(i.order, i.array_config), "?")}"])
      == toset([for i in f.indexes : "${i.queryScope} ${try(i.order, i.arrayConfig)}"]) if f.fieldPath != "*"
    ])
    error_message = "A field has the single indexes that the file lists and no others."
  }

  assert {
    condition     = length(google_firestore_field.fields) + length(google_firestore_field.exemptions) == length(jsondecode(file("${path.root}/firestore-indexes.json")).fieldOverrides)
    error_message = "No exemption of the file may be lost on the way."
  }

  assert {
    condition = { for c, f in google_firestore_field.exemptions : c => [f.collection, f.field, length(f.index_config[0].indexes)] } == {
      for c in ["accounts", "bookmarks", "contributions", "contributors", "forgotten", "private", "recognitions", "reviews"] : c => [c, "*", 0]
    }
    error_message = "In each collection, new fields have no index until a query needs one."
  }
}

run "all_in_the_one_database" {
  command = plan

  assert {
    condition = alltrue(concat(
      [for i in google_firestore_index.indexes : i.database == google_firestore_database.ledger.name],
      [for f in google_firestore_field.fields : f.database == google_firestore_database.ledger.name],
      [for f in google_firestore_field.exemptions : f.database == google_firestore_database.ledger.name],
    ))
    error_message = "Without a database named, indexes would go to (default)."
  }
}
