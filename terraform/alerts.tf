# The alerts. The documentation of each says what it means, how to confirm it and what to do, so that the person
# on call does not need this file.
locals {
  # Burn rates of the error budget, at the usual two speeds. The long window leaves out short peaks, the short window ends
  # the alert soon after the failure. Fast: 2 % of 28 days' budget in an hour. Slow: 5 % in six hours.
  burns = {
    for pair in setproduct(["availability", "latency"], ["fast", "slow"]) : "${pair[0]}_${pair[1]}" => {
      slo     = pair[0]
      factor  = pair[1] == "fast" ? 14.4 : 6
      windows = pair[1] == "fast" ? ["60m", "5m"] : ["360m", "30m"]
      urgent  = pair[1] == "fast"
    }
  }

  slos = {
    availability = one(google_monitoring_slo.availability[*].name)
    latency      = one(google_monitoring_slo.latency[*].name)
  }

  # A border of a bucket of the metric (metrics.tf).
  latency_p99_seconds = 2

  burn_runbooks = {
    availability = <<-EOT
      More requests to webhooks and to /v1 fail (5xx, or 429 from Cloud Run) than the goal of ${var.availability_goal * 100} % in 28 days allows.

      A delivery that failed was **not** stored. GitHub does not send it again by itself: redeliver it once this is over.

      1. What fails? Logs Explorer: `${local.program_logs} AND severity>=WARNING AND httpRequest.status>=500`: the field `why` has the cause.
      2. 503 with Retry-After: the store does not answer or is full. See https://status.cloud.google.com for Firestore, and look for quota or permission errors in the same lines.
      3. 500 or 502 right after a deployment: go back to the last good revision: `gcloud run services update-traffic ${var.name} --region=${var.region} --to-revisions=REVISION=100`.
      4. 429 in the request log: see the alert "no instance free".
      5. Afterwards: with var.reconcile plaudit asks for the failed deliveries by itself; else `plaudit reconcile github OWNER/REPO`. A delivery that is sent twice counts once.
    EOT
    latency      = <<-EOT
      More requests take longer than ${var.latency_seconds} s than the goal of ${var.latency_goal * 100} % in 28 days allows. GitHub gives up after 10 s.

      1. Which ones? Logs Explorer: `${local.request_logs} AND httpRequest.latency>"${var.latency_seconds}s"`.
      2. All of them, in waves: instances are starting. Set min_instances to 1.
      3. Webhooks and posts only: Firestore commits are slow. Look at its latency in the console and at ABORTED or RESOURCE_EXHAUSTED in the program's lines: one contributor or one burst may be writing to the same document.
      4. CPU near 1 on the dashboard: lower concurrency or raise cpu.
    EOT
  }

  # Alerts with one threshold on one series.
  thresholds = {
    latency_p99 = {
      title     = "slow: the 99th percentile of latency is above ${local.latency_p99_seconds} s"
      severity  = "WARNING"
      filter    = local.series.request_seconds
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_PERCENTILE_99"
      period    = "300s"
      above     = local.latency_p99_seconds
      duration  = "600s"
      subject   = "${var.name} answers slowly"
      what_next = local.burn_runbooks.latency
    }
    outbox_age = {
      title     = "recognitions wait: the oldest for more than ${var.outbox_alert_seconds} s"
      severity  = "ERROR"
      filter    = local.series.outbox_oldest_seconds
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_PERCENTILE_99"
      period    = "300s"
      above     = var.outbox_alert_seconds
      duration  = "0s"
      subject   = "${var.name} cannot publish its recognitions"
      what_next = <<-EOT
        Recognitions are stored but cannot be published (or commented). Nothing is lost and no request fails; people are thanked late.

        1. Why? Logs Explorer: `${local.program_logs} AND jsonPayload.recognition:* AND severity>=WARNING`.
        2. PERMISSION_DENIED: the service account lost roles/pubsub.publisher on the topic. `terraform apply` puts it back.
        3. NOT_FOUND: the topic was deleted. `terraform apply` creates it again.
        4. INVALID_ARGUMENT with message_schema = true: the schema at the topic is older than the program. Apply, or set it to false.
        5. Comments only: GitHub's token has expired or lost its rights, or its rate limit is reached. Add a new version, set it in secret_versions, apply.
        6. UNAVAILABLE: https://status.cloud.google.com. When Pub/Sub is back, plaudit publishes within a minute.
      EOT
    }
    dead_letters = {
      title     = "dead letters: a consumer does not acknowledge messages"
      severity  = "WARNING"
      filter    = local.series.dead_letters
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_MAX"
      period    = "300s"
      above     = 0
      duration  = "0s"
      subject   = "${var.name} has dead letters"
      what_next = <<-EOT
        A consumer was given a recognition ten times and never acknowledged it. It waits in the dead-letter subscription for 7 days.

        1. Look without taking: `gcloud pubsub subscriptions pull ${var.name}-dead-letters --project=${var.project_id} --limit=10`. The attributes name the subscription it came from.
        2. Repair that consumer. The fault is in plaudit only if the message does not fit its JSON Schema.
        3. Deliver them again: publish each to the consumer's own topic or handle it by hand, then `gcloud pubsub subscriptions pull … --auto-ack`. Consumers drop repeats by `ce-id`.
      EOT
    }
    instances_at_limit = {
      title     = "at the limit: ${var.max_instances} instances are busy"
      severity  = "WARNING"
      filter    = local.series.active
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_SUM"
      period    = "60s"
      above     = var.max_instances - 0.5
      duration  = "300s"
      subject   = "${var.name} cannot grow any further"
      what_next = <<-EOT
        Cloud Run may start no more instances. The next burst is answered with 429 by Cloud Run itself, and those deliveries are not stored.

        1. Is the traffic genuine? See the dashboard's requests by code, and the deliveries by host. A burst of 401 is someone guessing: see the alert on failed signatures.
        2. Each open event stream takes a place (concurrency ${var.concurrency} an instance): count them with `${local.request_logs} AND httpRequest.requestUrl=~"/v1/recognitions/stream"`.
        3. Raise max_instances and apply. Raise it in steps: above 500 writes a second Firestore needs time to adapt.
      EOT
    }
    failed_signatures = {
      title     = "failed signatures: more than 20 in 10 minutes"
      severity  = "WARNING"
      filter    = local.series.failed_signatures
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      period    = "600s"
      above     = 20
      duration  = "0s"
      subject   = "${var.name} refuses deliveries for their signature"
      what_next = <<-EOT
        Requests to a webhook were unsigned or wrongly signed, and were refused. Either a host uses another secret than plaudit, or someone sends forged requests.

        1. Who? Logs Explorer: `${local.request_logs} AND httpRequest.status=401 AND httpRequest.requestUrl=~"/webhooks/"`: look at remoteIp and userAgent (GitHub-Hookshot is GitHub).
        2. A host, since its secret was replaced: the version that runs must have both secrets, separated by a comma. Add such a version, set it in secret_versions, apply; remove the old secret when every hook has the new one.
        3. GitLab disables a hook permanently after 40 failures: enable it again in its settings, or by `plaudit reconcile gitlab GROUP/PROJECT --enable`.
        4. Only sometimes, from GitLab: `${local.program_logs} AND jsonPayload.verdict="rejected"` says why; a clock may be more than 5 minutes off.
        5. Someone else: nothing to do. Each request is refused before its body is read.
      EOT
    }
    uptime = {
      title     = "down: not reached from outside"
      severity  = "CRITICAL"
      filter    = local.series.uptime
      aligner   = "ALIGN_NEXT_OLDER"
      reducer   = "REDUCE_COUNT_FALSE"
      period    = "1200s"
      above     = 1
      duration  = "120s"
      subject   = "${var.name} does not answer"
      what_next = <<-EOT
        Uptime checks from more than one region of the world failed. Deliveries fail meanwhile, and GitHub does not send them again by itself.

        1. `curl -i "$(terraform output -raw url)/openapi.json"`
        2. 403: the grant to allUsers was removed, perhaps by an organisation's policy. `terraform apply`, or public_access = "invoker_iam_disabled".
        3. 503 or 404: is there a ready revision? `gcloud run revisions list --service=${var.name} --region=${var.region}`. A revision that does not start logs the cause in one line: Logs Explorer: `${local.program_logs} AND severity>=ERROR`.
        4. Roll back: `gcloud run services update-traffic ${var.name} --region=${var.region} --to-revisions=REVISION=100`.
        5. Afterwards, redeliver the failed deliveries in each GitHub hook (kept for 3 days). A delivery that is sent twice counts once.
      EOT
    }
  }

  # Alerts on missing data.
  absences = {
    no_deliveries = {
      title    = "silence: no delivery for a day"
      severity = "WARNING"
      filter   = local.series.deliveries
      aligner  = "ALIGN_DELTA"
      # The longest duration that Cloud Monitoring accepts: 23.5 hours.
      duration  = "84600s"
      subject   = "${var.name} has received no delivery for a day"
      what_next = <<-EOT
        There was no verified delivery for a day, though there were some before (this alert never fires for a service that never had one). On a quiet weekend that can be normal.

        1. In the host's webhook settings, Recent Deliveries: does it send, and what is the answer?
        2. GitLab disables a hook permanently after 40 failures: enable it again.
        3. 404 from /webhooks/…: the secret of that host is not in secret_versions.
        4. 401: see the alert on failed signatures.
        5. Deliveries arrive but this alert fires: the log's fields have changed; see the filters in metrics.tf. Or the variable log hides lines of level info.
      EOT
    }
    no_drain = {
      title     = "the drain does not run"
      severity  = "ERROR"
      filter    = local.series.drains
      aligner   = "ALIGN_DELTA"
      duration  = "900s"
      subject   = "${var.name} has not been drained for 15 minutes"
      what_next = <<-EOT
        No call of /internal/drain has succeeded for 15 minutes. What a crash left owed is recognised only at the contributor's next contribution, and recognitions that wait are not published. The alert on the outbox's age gets no data meanwhile.

        1. Does it run? `gcloud scheduler jobs describe ${var.name}-drain --location=${var.region} --project=${var.project_id}`: state must be ENABLED; look at its status.
        2. 401: the program refuses the token. PLAUDIT_DRAIN_AUDIENCE and PLAUDIT_DRAIN_EMAIL of the running revision must be those of the job. `terraform apply` sets both.
        3. 5xx: the store does not answer; the program's lines say why.
        4. By hand: `curl -X POST -H "Authorization: Bearer $PLAUDIT_TOKEN" "$(terraform output -raw url)/internal/drain"` with one of PLAUDIT_API_TOKENS.
      EOT
    }
  }

  # Alerts on single lines of the log. Unlike an absence, a line also shows what never worked. Cloud Run and Cloud Scheduler
  # write these themselves; only `panic` and `fatal` are the program's.
  lines = {
    drain_fails = {
      title     = "the drain fails"
      severity  = "ERROR"
      filter    = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${var.name}-drain\" AND severity>=ERROR"
      subject   = "${var.name} cannot be drained"
      what_next = <<-EOT
        Cloud Scheduler called /internal/drain and got an error, or no answer within 55 s. One alone is over with the next call; if they repeat, what a crash left owed is not recognised, and recognitions that wait are not published.

        1. Which error? Logs Explorer: `resource.type="cloud_scheduler_job" AND resource.labels.job_id="${var.name}-drain"`: jsonPayload.status and debugInfo.
        2. UNAUTHENTICATED (401): the program refuses the token. PLAUDIT_DRAIN_AUDIENCE and PLAUDIT_DRAIN_EMAIL of the running revision must be those of the job. `terraform apply` sets both.
        3. PERMISSION_DENIED (403): Cloud Run refuses everyone. `terraform apply`, or public_access = "invoker_iam_disabled".
        4. UNAVAILABLE or INTERNAL (5xx): the store does not answer; the program's lines say why: `${local.program_logs} AND httpRequest.requestUrl=~"/internal/drain" AND severity>=WARNING`. "The query requires an index": `terraform apply` creates it.
        5. DEADLINE_EXCEEDED: no instance started, or the store is slow. See the alerts on instances and latency.
      EOT
    }
    reconcile_fails = {
      title     = "reconciling fails"
      severity  = "WARNING"
      filter    = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${var.name}-reconcile\" AND severity>=ERROR"
      subject   = "${var.name} cannot ask for failed deliveries"
      what_next = <<-EOT
        Cloud Scheduler called /internal/reconcile and got an error, or no answer within 240 s. Deliveries that failed are not asked for meanwhile. GitHub keeps them for three days.

        1. Which error? Logs Explorer: `resource.type="cloud_scheduler_job" AND resource.labels.job_id="${var.name}-reconcile"`: jsonPayload.status and debugInfo.
        2. UNAUTHENTICATED (401) or PERMISSION_DENIED (403): as for the drain, whose account and audience this job uses. `terraform apply`.
        3. NOT_FOUND (404): the running revision has no PLAUDIT_RECONCILE. `terraform apply` sets it from var.reconcile.
        4. By hand: `curl -X POST -H "Authorization: Bearer $PLAUDIT_TOKEN" "$(terraform output -raw url)/internal/reconcile"` with one of PLAUDIT_API_TOKENS.
      EOT
    }
    webhook_broken = {
      title     = "a webhook fails or is off"
      severity  = "ERROR"
      filter    = "${local.program_logs} AND jsonPayload.webhook_broken:*"
      subject   = "${var.name}: a webhook fails or is off"
      what_next = <<-EOT
        A round over the webhooks in var.reconcile found one whose newest delivery failed, one that is off, or could not look at them. What fails now is not counted until it is delivered again.

        1. Which one, and why? Logs Explorer: `${local.program_logs} AND jsonPayload.webhook_broken:*`: the fields of, webhook, webhook_broken, and outcome, off or why.
        2. "failing": the outcome is what the host saw. 401: see the alert on failed signatures. 5xx or no answer: see the alerts on availability and "down". Over once the next delivery succeeds; then plaudit asks for what failed by itself.
        3. "off": GitHub: turn it on in its settings, or `plaudit init github OWNER/REPO`. GitLab: `plaudit reconcile gitlab GROUP/PROJECT --enable` once plaudit answers again.
        4. "unreadable": the token has expired or lacks its permission, the name is wrong, or no webhook posts to plaudit. Add a new version, set it in secret_versions, apply.
      EOT
    }
    deliveries_lost = {
      title     = "the host no longer has deliveries that failed"
      severity  = "ERROR"
      filter    = "${local.program_logs} AND jsonPayload.deliveries_lost:*"
      subject   = "${var.name}: failed deliveries can no longer be asked for"
      what_next = <<-EOT
        GitHub keeps a delivery for three days, GitLab for seven. Some failed before that and were never made good: plaudit did not reconcile for so long, or the host refuses to send them again.

        1. From when to when? Logs Explorer: `${local.program_logs} AND jsonPayload.deliveries_lost:*`: the fields of, from and until, and the command in the message.
        2. Read the same from the history: `plaudit backfill github OWNER/REPO --since DATE`, as the message says. What is in the ledger already counts once.
        3. Why so late? See the alerts "reconciling fails" and "a webhook fails or is off" of that time.
      EOT
    }
    no_instance = {
      title     = "no instance free: Cloud Run refuses requests"
      severity  = "CRITICAL"
      filter    = "${local.request_logs} AND textPayload:\"no available instance\""
      subject   = "${var.name}: Cloud Run had no instance for a request"
      what_next = <<-EOT
        Cloud Run answered a request itself (429, or 500) because no instance was free. Such a delivery never reached plaudit and was **not** stored; GitHub does not send it again by itself.

        1. How many? Logs Explorer: `${local.request_logs} AND textPayload:"no available instance"`.
        2. All instances busy: see the alert "at the limit"; raise max_instances or concurrency, and apply.
        3. A burst after silence: instances could not start fast enough. Set min_instances to 1.
        4. No instance starts at all: see the alerts on fatal errors and failed revisions.
        5. Afterwards: with var.reconcile plaudit asks for the failed deliveries by itself; else `plaudit reconcile github OWNER/REPO`. A delivery that is sent twice counts once.
      EOT
    }
    panic = {
      title     = "a panic: a fault in the program"
      severity  = "ERROR"
      filter    = "${local.program_logs} AND severity=CRITICAL AND jsonPayload.message=~\"^panic: \""
      subject   = "${var.name} panicked"
      what_next = <<-EOT
        Part of the program stopped at a fault of its own. The request that met it was answered with 500; the program goes on. What was acknowledged is stored.

        1. Where? Error Reporting shows the place and how often; or Logs Explorer: `${local.program_logs} AND severity=CRITICAL`: the fields place and stack_trace.
        2. Since a deployment: go back: `gcloud run services update-traffic ${var.name} --region=${var.region} --to-revisions=REVISION=100`.
        3. Always the same delivery (the same trace has its line with claimed_delivery or delivery): keep its payload from the host's page, and report it with the stack trace.
      EOT
    }
    fatal = {
      title     = "fatal: the program ends or cannot start"
      severity  = "CRITICAL"
      filter    = "${local.program_logs} AND severity=CRITICAL AND NOT jsonPayload.message=~\"^panic: \""
      subject   = "${var.name} cannot run"
      what_next = <<-EOT
        The program wrote a fatal line and ends. Nothing else writes such lines.

        1. The line says what and how to repair it: Logs Explorer: `${local.program_logs} AND severity=CRITICAL`; a wrong configuration lists all its faults in the field faults.
        2. A setting or secret was changed: correct it in terraform.tfvars and apply. Old revisions run on until then.
        3. Roll back: `gcloud run services update-traffic ${var.name} --region=${var.region} --to-revisions=REVISION=100`.
      EOT
    }
    out_of_memory = {
      title     = "out of memory: Cloud Run ended an instance"
      severity  = "ERROR"
      filter    = "${local.service_logs} AND (textPayload:\"Consider increasing the memory limit\" OR textPayload:\"Out-of-memory event detected in container\")"
      subject   = "${var.name} needs more memory"
      what_next = <<-EOT
        An instance used more than memory = ${var.memory} and was ended at once. Requests in flight there failed; what was acknowledged is stored.

        1. Raise memory and apply.
        2. Why? The dashboard's memory chart. A steady rise is a fault in the program: report it. Peaks come with many large deliveries at once; lower concurrency.
        3. Afterwards: redeliver the failed deliveries in each GitHub hook. A delivery that is sent twice counts once.
      EOT
    }
    exits = {
      title     = "an instance ended with an error"
      severity  = "ERROR"
      filter    = "${local.service_logs} AND ((textPayload:\"Container called exit(\" AND NOT textPayload:\"Container called exit(0)\") OR textPayload=~\"^Container terminated on signal (4|6|7|8|11)[.]\")"
      subject   = "${var.name}: an instance ended by itself"
      what_next = <<-EOT
        The program ended with an exit code other than 0, or by a signal that only a fault sends. Cloud Run starts another instance.

        1. What did it say last? Logs Explorer, the lines of the same instance (labels.instanceId) before this one.
        2. exit(1) or exit(2) with a fatal line: see the alert "fatal".
        3. A signal without a line: a fault in native code. Report it with the image's digest; roll back if it came with a deployment.
      EOT
    }
    failed_revision = {
      title     = "a new revision does not start"
      severity  = "CRITICAL"
      filter    = "${local.service_logs} AND severity=ERROR AND protoPayload.response.kind=\"Revision\" AND protoPayload.status.message:\"Ready condition status changed to False\""
      subject   = "${var.name}: a deployment failed"
      what_next = <<-EOT
        A revision did not become ready, so it gets no traffic; the one before it goes on serving.

        1. Why? `gcloud run revisions list --service=${var.name} --region=${var.region}`, then `gcloud run revisions describe REVISION --region=${var.region}`: the condition Ready has the cause.
        2. "Permission denied on secret": the grant is new; wait some minutes and apply again.
        3. "Image … not found": push it, then apply again.
        4. The container failed to start: its fatal line says why: `${local.program_logs} AND severity=CRITICAL`.
        5. `terraform apply` says "Resource instance is tainted" or wants to replace the service: `terraform untaint google_cloud_run_v2_service.plaudit`, then apply.
      EOT
    }
    secret_access = {
      title     = "a secret was read by another than the service"
      severity  = "CRITICAL"
      filter    = "protoPayload.serviceName=\"secretmanager.googleapis.com\" AND protoPayload.methodName=~\"AccessSecretVersion$\" AND protoPayload.resourceName=~\"/secrets/(${local.secret_names})/versions/\" AND NOT protoPayload.authenticationInfo.principalEmail=\"${google_service_account.service.email}\""
      subject   = "${var.name}: someone read a secret"
      what_next = <<-EOT
        An account other than the service's read one of plaudit's secrets. During setup or a rotation that is you (`gcloud secrets versions access`); at any other time find out who.

        1. Who? Logs Explorer: `protoPayload.serviceName="secretmanager.googleapis.com" AND protoPayload.methodName=~"AccessSecretVersion$"`: principalEmail and callerIp.
        2. None of your own people: replace that secret (docs/deploy.md, "Replace a secret without losing a delivery"), and remove the account's role.
        3. With a webhook's secret, deliveries can be forged: look at the contributions since then.
      EOT
    }
  }
}

resource "google_monitoring_alert_policy" "burns" {
  for_each = local.full ? local.burns : {}

  display_name          = "${var.name}: ${each.value.slo} budget burns ${each.value.urgent ? "fast" : "slowly"}"
  combiner              = "AND"
  severity              = each.value.urgent ? "CRITICAL" : "WARNING"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  dynamic "conditions" {
    for_each = each.value.windows
    content {
      display_name = "${each.value.factor} times too fast over ${conditions.value}"

      condition_threshold {
        filter          = "select_slo_burn_rate(\"${local.slos[each.value.slo]}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.factor
        duration        = "0s"

        trigger {
          count = 1
        }
      }
    }
  }

  documentation {
    subject   = "${var.name}: the ${each.value.slo} goal will be missed"
    mime_type = "text/markdown"
    content   = local.burn_runbooks[each.value.slo]
  }

  alert_strategy {
    auto_close = "3600s"
  }

  depends_on = [terraform_data.metrics_ready]
}

resource "google_monitoring_alert_policy" "thresholds" {
  for_each = local.full ? local.thresholds : {}

  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.title

    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = each.value.duration

      aggregations {
        alignment_period     = each.value.period
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
      }

      trigger {
        count = 1
      }
    }
  }

  documentation {
    subject   = each.value.subject
    mime_type = "text/markdown"
    content   = each.value.what_next
  }

  alert_strategy {
    auto_close = "3600s"
  }

  depends_on = [terraform_data.metrics_ready]
}

resource "google_monitoring_alert_policy" "absences" {
  for_each = local.full ? local.absences : {}

  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.title

    condition_absent {
      filter   = each.value.filter
      duration = each.value.duration

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = "REDUCE_SUM"
      }

      trigger {
        count = 1
      }
    }
  }

  documentation {
    subject   = each.value.subject
    mime_type = "text/markdown"
    content   = each.value.what_next
  }

  alert_strategy {
    auto_close = "86400s"
  }

  depends_on = [terraform_data.metrics_ready]
}

resource "google_monitoring_alert_policy" "lines" {
  for_each = local.full ? local.lines : {}

  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.title

    condition_matched_log {
      filter = each.value.filter
    }
  }

  documentation {
    subject   = each.value.subject
    mime_type = "text/markdown"
    content   = each.value.what_next
  }

  # Cloud Monitoring asks for a rate limit in an alert on lines.
  alert_strategy {
    auto_close = "3600s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  depends_on = [terraform_data.apis_ready]
}
