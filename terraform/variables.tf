# Required: the project, the region and the image.

variable "project_id" {
  type        = string
  description = "The project that holds everything. It must exist and have billing enabled."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is the id (6 to 30 lower-case letters, digits and dashes), not the name or the number of the project."
  }
}

variable "region" {
  type        = string
  description = "The region of the service, the database, the topic's storage, the secrets, the images and the schedule."

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region looks like europe-west1 (a region, not a zone)."
  }
}

variable "image" {
  type        = string
  description = "The container image, by digest (…@sha256:…) or by a tag that is not \"latest\". The registry made here refuses to move a tag, so a tag always names the same image."

  validation {
    condition = can(regex("@sha256:[0-9a-f]{64}$", var.image)) || (
      can(regex("/[^/@:]+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image)) && !endswith(var.image, ":latest")
    )
    error_message = "image must end in @sha256:<64 hex digits> or in a tag other than latest."
  }

  validation {
    condition     = can(regex("^([a-z0-9-]+-docker[.]pkg[.]dev|([a-z]+[.])?gcr[.]io|docker[.]io)/", var.image))
    error_message = "Cloud Run takes images from …-docker.pkg.dev, gcr.io and docker.io only."
  }
}

# What to create.

variable "profile" {
  type        = string
  default     = "full"
  description = "\"full\": everything. \"minimal\", to see it run: the service, the database, the topic, the secrets and the registry. No drain, backups, dead letters, alerts, goals or dashboard. Change it to \"full\" and apply to add them."

  validation {
    condition     = contains(["full", "minimal"], var.profile)
    error_message = "profile is \"full\" or \"minimal\"."
  }
}

# Names and labels.

variable "name" {
  type        = string
  default     = "plaudit"
  description = "The name of the service, and the prefix of everything else. Another name makes a second installation in the same project."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,18}[a-z0-9]$", var.name))
    error_message = "name is 4 to 20 lower-case letters, digits and dashes: the database has this name (4 characters at least), and the accounts have it with a suffix (30 at most)."
  }
}

variable "labels" {
  type        = map(string)
  default     = {}
  description = "More labels for every resource that can have labels."

  validation {
    condition = length(var.labels) <= 60 && alltrue([
      for k, v in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v))
    ])
    error_message = "labels have keys and values of lower-case letters, digits, dashes and underscores, 63 characters at most; a key begins with a letter."
  }
}

variable "deletion_protection" {
  type        = bool
  default     = true
  description = "Refuses to destroy the service, the database and the secrets. To take everything down, apply false first, then destroy."
}

# The service.

variable "cpu_idle" {
  type        = bool
  default     = true
  description = <<-EOT
    true: an instance has CPU only while it answers a request, and only that time is billed. The outbox does not run between requests:
    a recognition is published while the request that earned it is answered; what failed then waits for the next drain, at most a
    minute (drain_schedule). Without traffic this costs almost nothing.
    false: an instance always has CPU, and its whole lifetime is billed, also without traffic if min_instances > 0. The outbox then
    tries again within seconds, and event streams are not delayed.
  EOT
}

variable "min_instances" {
  type        = number
  default     = 0
  description = "Instances kept warm. 0 costs nothing without traffic; a git host then sometimes waits for a start (well under its 10 seconds). The drain, which runs every minute, keeps one instance warm most of the time."

  validation {
    condition     = var.min_instances >= 0 && floor(var.min_instances) == var.min_instances
    error_message = "min_instances is a whole number from 0."
  }
}

variable "max_instances" {
  type        = number
  default     = 10
  description = "The most instances Cloud Run may start. This limits the bill, and the load on the database."

  validation {
    condition     = var.max_instances >= 1 && var.max_instances >= var.min_instances && floor(var.max_instances) == var.max_instances
    error_message = "max_instances is a whole number, at least 1 and at least min_instances."
  }
}

variable "concurrency" {
  type        = number
  default     = 200
  description = "Concurrent requests of one instance. Contributions that arrive together share a commit, so a high number saves database writes. Open event streams count too."

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000 && floor(var.concurrency) == var.concurrency
    error_message = "concurrency is a whole number from 1 to 1000 (Cloud Run's limit)."
  }
}

variable "cpu" {
  type        = string
  default     = "1"
  description = "CPUs of an instance. Below 1 Cloud Run allows only one request at a time."

  validation {
    condition     = contains(["1", "2", "4", "8"], var.cpu)
    error_message = "cpu is 1, 2, 4 or 8."
  }
}

variable "memory" {
  type        = string
  default     = "512Mi"
  description = "Memory of an instance. A delivery may have 25 MiB; the program limits the memory of all bodies together to 128 MiB."

  validation {
    condition     = can(regex("^[0-9]+(Mi|Gi)$", var.memory))
    error_message = "memory looks like 512Mi or 1Gi."
  }

  # https://cloud.google.com/run/docs/configuring/services/memory-limits
  validation {
    condition = try(
      tonumber(trimsuffix(trimsuffix(var.memory, "Mi"), "Gi")) * (endswith(var.memory, "Gi") ? 1024 : 1) >=
      { "1" = 512, "2" = 512, "4" = 2048, "8" = 4096 }[var.cpu],
      true,
    )
    error_message = "memory is at least 512Mi; with 4 CPUs at least 2Gi, with 8 at least 4Gi (Cloud Run's limits)."
  }
}

variable "request_timeout_seconds" {
  type        = number
  default     = 300
  description = "Cloud Run ends a request after this long. Deliveries take milliseconds; event streams end 10 seconds before and resume by Last-Event-ID (PLAUDIT_REQUEST_TIMEOUT)."

  validation {
    condition     = var.request_timeout_seconds >= 30 && var.request_timeout_seconds <= 3600 && floor(var.request_timeout_seconds) == var.request_timeout_seconds
    error_message = "request_timeout_seconds is a whole number from 30 to 3600."
  }
}

variable "public_access" {
  type        = string
  default     = "allUsers"
  description = "How git hosts can call the service without a Google identity. \"allUsers\": a grant of run.invoker to everyone. \"invoker_iam_disabled\": Cloud Run's check is turned off, for organisations whose policy forbids allUsers. In both, the program checks signatures and tokens itself."

  validation {
    condition     = contains(["allUsers", "invoker_iam_disabled"], var.public_access)
    error_message = "public_access is \"allUsers\" or \"invoker_iam_disabled\"."
  }
}

# The program's settings (docs/configuration.md explains each).

variable "milestones" {
  type        = list(number)
  default     = [3]
  description = "PLAUDIT_MILESTONES: ascending tallies that earn a recognition."

  validation {
    condition = length(var.milestones) > 0 && alltrue([
      for i, m in var.milestones : m >= 1 && floor(m) == m && (i == 0 ? true : m > var.milestones[max(i - 1, 0)])
    ])
    error_message = "milestones are whole numbers from 1, ascending, at least one."
  }
}

variable "public_read" {
  type        = bool
  default     = false
  description = "PLAUDIT_PUBLIC_READ: true lets anyone read contributors and recognitions; false asks for a token of PLAUDIT_API_TOKENS or PLAUDIT_READ_TOKENS."
}

variable "log" {
  type        = string
  default     = "info"
  description = "PLAUDIT_LOG, for example info or info,plaudit=debug. It must show the program's lines of level info, because the log-based metrics and alerts read them."

  validation {
    condition     = can(regex("(^|,)(plaudit=)?(info|debug|trace)(,|$)", var.log)) && !can(regex("(^|,)plaudit=(off|error|warn)", var.log))
    error_message = "log must show plaudit's lines of level info: info, info,plaudit=debug or warn,plaudit=info."
  }
}

variable "settings" {
  type        = map(string)
  default     = {}
  description = "More of the program's variables, for example { PLAUDIT_BRANCHES = \"all\", PLAUDIT_COUNT = \"pull_request\" }. Not for secrets: use secret_versions."

  validation {
    condition     = alltrue([for k in keys(var.settings) : can(regex("^PLAUDIT_[A-Z_]+$", k))])
    error_message = "settings are the program's own variables; their names begin with PLAUDIT_."
  }

  validation {
    condition     = alltrue([for k in keys(var.settings) : !can(regex("SECRET|TOKEN|KEY|PASSWORD", k))])
    error_message = "Every viewer of the project can read settings in the service's description: put secrets into Secret Manager and name their version in secret_versions."
  }

  validation {
    condition = length(setintersection(keys(var.settings), [
      "PLAUDIT_STORE", "PLAUDIT_PUBLISH", "PLAUDIT_MILESTONES", "PLAUDIT_PUBLIC_READ", "PLAUDIT_LOG", "PLAUDIT_LOG_FORMAT",
      "PLAUDIT_LISTEN", "PLAUDIT_DRAIN_AUDIENCE", "PLAUDIT_DRAIN_EMAIL", "PLAUDIT_COMMENT", "PLAUDIT_GITHUB_APP_ID", "PLAUDIT_OPEN_API",
      "PLAUDIT_REQUEST_TIMEOUT", "PLAUDIT_RECONCILE",
    ])) == 0
    error_message = "settings may not override what this configuration sets itself, nor open the API to everyone (PLAUDIT_OPEN_API)."
  }
}

variable "secret_versions" {
  type        = map(string)
  default     = {}
  description = <<-EOT
    Which version of which secret the service reads, by the program's variable: { PLAUDIT_GITHUB_SECRET = "1" }.
    The service reads only the secrets named here. Terraform creates them without a value; add versions with gcloud (output
    secret_commands), so that no secret value is ever in a state file. To replace a secret, add a version and apply its number.
  EOT

  validation {
    condition = alltrue([for k in keys(var.secret_versions) : contains([
      "PLAUDIT_GITHUB_SECRET", "PLAUDIT_GITLAB_SIGNING_TOKEN", "PLAUDIT_GITLAB_SECRET", "PLAUDIT_API_TOKENS",
      "PLAUDIT_POST_TOKENS", "PLAUDIT_READ_TOKENS", "PLAUDIT_FORGET_KEY", "PLAUDIT_GITHUB_TOKEN", "PLAUDIT_GITHUB_APP_KEY",
      "PLAUDIT_GITLAB_TOKEN",
    ], k)])
    error_message = "secret_versions knows PLAUDIT_GITHUB_SECRET, PLAUDIT_GITLAB_SIGNING_TOKEN, PLAUDIT_GITLAB_SECRET, PLAUDIT_API_TOKENS, PLAUDIT_POST_TOKENS, PLAUDIT_READ_TOKENS, PLAUDIT_FORGET_KEY, PLAUDIT_GITHUB_TOKEN, PLAUDIT_GITHUB_APP_KEY and PLAUDIT_GITLAB_TOKEN."
  }

  validation {
    condition     = alltrue([for v in values(var.secret_versions) : can(regex("^[1-9][0-9]*$", v))])
    error_message = "A version is a number. \"latest\" would change the running service without a deployment, and could not be rolled back."
  }
}

variable "comment" {
  type        = bool
  default     = false
  description = "PLAUDIT_COMMENT: comment on the pull request or issue that reached the milestone. Needs PLAUDIT_GITHUB_TOKEN, github_app_id with PLAUDIT_GITHUB_APP_KEY, or PLAUDIT_GITLAB_TOKEN, in secret_versions."

  validation {
    condition = !var.comment || contains(keys(var.secret_versions), "PLAUDIT_GITHUB_TOKEN") || contains(keys(var.secret_versions), "PLAUDIT_GITLAB_TOKEN") || (
      var.github_app_id != null && contains(keys(var.secret_versions), "PLAUDIT_GITHUB_APP_KEY")
    )
    error_message = "comment = true needs a credential: PLAUDIT_GITHUB_TOKEN, github_app_id with PLAUDIT_GITHUB_APP_KEY, or PLAUDIT_GITLAB_TOKEN, in secret_versions."
  }
}

variable "github_app_id" {
  type        = string
  default     = null
  description = "PLAUDIT_GITHUB_APP_ID: the id of the GitHub App that comments. Not a secret; its key is."

  validation {
    condition     = var.github_app_id == null || can(regex("^[0-9]+$", var.github_app_id))
    error_message = "github_app_id is the App's number, as its settings page shows it."
  }
}

# The store.

variable "database_location" {
  type        = string
  default     = null
  description = "Firestore's location. Default: the region. A multi-region (eur3, nam5) survives the loss of a region, for about twice the price and slower writes. It can never be changed."

  validation {
    condition     = var.database_location == null || can(regex("^(eur3|nam5|nam7|[a-z]+-[a-z]+[0-9]+)$", var.database_location))
    error_message = "database_location is a region like europe-west1, or eur3, nam5 or nam7."
  }
}

variable "backup_retention_days" {
  type        = number
  default     = 14
  description = "How long a daily backup of the database is kept."

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 98 && floor(var.backup_retention_days) == var.backup_retention_days
    error_message = "backup_retention_days is a whole number from 1 to 98 (Firestore's limit is 14 weeks)."
  }
}

# The topic.

variable "message_schema" {
  type        = bool
  default     = false
  description = "Lets Pub/Sub check every message against recognition.proto. Off by default; pubsub.tf says why."
}

variable "example_subscription" {
  type        = bool
  default     = true
  description = "Creates an example subscription. It keeps messages that are not acknowledged for 7 days; turn it off once real consumers have their own subscriptions."
}

# The drain.

variable "drain_schedule" {
  type        = string
  default     = "* * * * *"
  description = "How often Cloud Scheduler calls /internal/drain, as a cron line in UTC. After a failure or a crash, a recognition is at most this late."

  validation {
    condition     = length(split(" ", trimspace(var.drain_schedule))) == 5
    error_message = "drain_schedule is a cron line of five fields, like \"* * * * *\"."
  }
}

# The deliveries that failed.

variable "reconcile" {
  type        = list(string)
  default     = []
  description = "PLAUDIT_RECONCILE: whose failed deliveries are asked for again, such as [\"github:octocat/hello\", \"github:octo-org\"] or [\"github-app\"]. Needs PLAUDIT_GITHUB_TOKEN, or github_app_id with PLAUDIT_GITHUB_APP_KEY, and for GitLab PLAUDIT_GITLAB_TOKEN, in secret_versions."

  validation {
    condition     = alltrue([for one in var.reconcile : can(regex("^(github-app|github:[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?|gitlab:[^,\\s]+)$", one))])
    error_message = "An entry of reconcile is github:OWNER/REPO, github:ORGANISATION, github-app or gitlab:GROUP/PROJECT."
  }

  validation {
    condition = length([for one in var.reconcile : one if startswith(one, "github")]) == 0 || contains(keys(var.secret_versions), "PLAUDIT_GITHUB_TOKEN") || (
      var.github_app_id != null && contains(keys(var.secret_versions), "PLAUDIT_GITHUB_APP_KEY")
    )
    error_message = "reconcile needs a credential: PLAUDIT_GITHUB_TOKEN, or github_app_id with PLAUDIT_GITHUB_APP_KEY, in secret_versions."
  }

  validation {
    condition     = length([for one in var.reconcile : one if startswith(one, "gitlab")]) == 0 || contains(keys(var.secret_versions), "PLAUDIT_GITLAB_TOKEN")
    error_message = "reconcile of GitLab needs PLAUDIT_GITLAB_TOKEN in secret_versions."
  }
}

variable "reconcile_schedule" {
  type        = string
  default     = "*/10 * * * *"
  description = "How often Cloud Scheduler calls /internal/reconcile, as a cron line in UTC. GitHub keeps a failed delivery for three days."

  validation {
    condition     = length(split(" ", trimspace(var.reconcile_schedule))) == 5
    error_message = "reconcile_schedule is a cron line of five fields, like \"*/10 * * * *\"."
  }
}

# Watching.

variable "notification_channels" {
  type        = list(string)
  default     = []
  description = "Where alerts are sent: ids like projects/PROJECT/notificationChannels/123 (gcloud beta monitoring channels list). If empty, alerts show only in the console."

  validation {
    condition     = alltrue([for c in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", c))])
    error_message = "A notification channel's id looks like projects/PROJECT/notificationChannels/123."
  }
}

variable "availability_goal" {
  type        = number
  default     = 0.999
  description = "The share of requests to webhooks and /v1 in 28 days that must not fail (5xx, or Cloud Run's own 429)."

  validation {
    condition     = var.availability_goal > 0.5 && var.availability_goal < 1
    error_message = "availability_goal is a share, like 0.999."
  }
}

variable "latency_goal" {
  type        = number
  default     = 0.99
  description = "The share of requests to webhooks and /v1 in 28 days that must be answered within latency_seconds."

  validation {
    condition     = var.latency_goal > 0.5 && var.latency_goal < 1
    error_message = "latency_goal is a share, like 0.99."
  }
}

variable "latency_seconds" {
  type        = number
  default     = 1
  description = "How long an answer may take. GitHub gives up after 10 seconds."

  validation {
    condition     = var.latency_seconds > 0 && var.latency_seconds < 10
    error_message = "latency_seconds is below 10: after that GitHub has given up."
  }
}

variable "outbox_alert_seconds" {
  type        = number
  default     = 600
  description = "How old the oldest waiting recognition may be before an alert is sent."

  validation {
    condition     = var.outbox_alert_seconds >= 120
    error_message = "outbox_alert_seconds is at least 120: the drain runs once a minute."
  }
}

variable "audit_secret_access" {
  type        = bool
  default     = true
  description = "Lets Google log who reads a secret of the project (data access audit logs of Secret Manager), for the alert on reads by others. false if another configuration manages these logs; the alert then relies on that one."
}
