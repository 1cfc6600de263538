# Required: where, and what to run.

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
  description = "The region of everything that has one: service, database, topic's storage, secrets, images, schedule."

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region looks like europe-west1 (a region, not a zone)."
  }
}

variable "image" {
  type        = string
  description = "The container image, by digest (…@sha256:…) or by a tag that is not \"latest\". The repository made here refuses to move a tag, so a tag names one image for good."

  validation {
    condition = can(regex("@sha256:[0-9a-f]{64}$", var.image)) || (
      can(regex("/[^/@:]+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image)) && !endswith(var.image, ":latest")
    )
    error_message = "image must end in @sha256:<64 hex digits> or in a tag other than latest."
  }
}

# Names and labels.

variable "name" {
  type        = string
  default     = "plaudit"
  description = "The name of the service, and the prefix of everything else. Another name makes a second installation in the same project."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,18}[a-z0-9]$", var.name))
    error_message = "name is 4 to 20 lower-case letters, digits and dashes: the database is called so (4 at least), and accounts get a suffix (30 at most)."
  }
}

variable "labels" {
  type        = map(string)
  default     = {}
  description = "More labels for every resource that can carry them."
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
    true: CPU only while a request is answered, and billed only then. The background pass of the outbox stands still between requests:
    a recognition is published while the contribution that earned it is answered; what failed then waits for the next drain, at most a
    minute (drain_schedule). At rest this costs almost nothing.
    false: CPU as long as an instance lives, billed for all of that time, also at rest if min_instances > 0. The background pass then
    tries again within seconds, and the event stream reaches its readers without waiting for CPU.
  EOT
}

variable "min_instances" {
  type        = number
  default     = 0
  description = "Instances kept warm. 0 costs nothing at rest; a git host then waits for a start (well under its 10 seconds) now and then, and the minutely drain keeps one warm most of the time."

  validation {
    condition     = var.min_instances >= 0 && floor(var.min_instances) == var.min_instances
    error_message = "min_instances is a whole number from 0."
  }
}

variable "max_instances" {
  type        = number
  default     = 10
  description = "The most instances Cloud Run may start: the ceiling of the bill, and of the load on the database."

  validation {
    condition     = var.max_instances >= 1 && var.max_instances >= var.min_instances && floor(var.max_instances) == var.max_instances
    error_message = "max_instances is a whole number, at least 1 and at least min_instances."
  }
}

variable "concurrency" {
  type        = number
  default     = 200
  description = "Requests one instance answers at once. Contributions that arrive together share a commit, so a high number saves database writes; open event streams count too."

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000
    error_message = "concurrency is 1 to 1000 (Cloud Run's limit)."
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
  description = "Memory of an instance. A delivery may be 25 MiB; the program bounds what all bodies together may take."

  validation {
    condition     = can(regex("^[0-9]+(Mi|Gi)$", var.memory))
    error_message = "memory looks like 512Mi or 1Gi."
  }
}

variable "request_timeout_seconds" {
  type        = number
  default     = 300
  description = "Cloud Run ends a request after this long. Deliveries take milliseconds; event streams are cut here and resume by Last-Event-ID."

  validation {
    condition     = var.request_timeout_seconds >= 30 && var.request_timeout_seconds <= 3600
    error_message = "request_timeout_seconds is 30 to 3600."
  }
}

variable "public_access" {
  type        = string
  default     = "allUsers"
  description = "How git hosts get in without a Google identity. \"allUsers\": a grant of run.invoker to everyone. \"invoker_iam_disabled\": Cloud Run's check is turned off, for organisations whose policy forbids allUsers. In both, the program checks signatures and tokens itself."

  validation {
    condition     = contains(["allUsers", "invoker_iam_disabled"], var.public_access)
    error_message = "public_access is \"allUsers\" or \"invoker_iam_disabled\"."
  }
}

# What the program is told (the README names each).

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
  description = "PLAUDIT_PUBLIC_READ: true lets anyone read contributors and recognitions; false asks for an API token."
}

variable "log" {
  type        = string
  default     = "info"
  description = "PLAUDIT_LOG, for example info or info,plaudit=debug. Below info the log-based metrics and alerts go blind."
}

variable "settings" {
  type        = map(string)
  default     = {}
  description = "More of the program's variables, for example { PLAUDIT_BRANCHES = \"all\", PLAUDIT_COUNT = \"pull_request\" }. Not for secrets: those have their own way (secret_versions)."

  validation {
    condition     = alltrue([for k in keys(var.settings) : can(regex("^PLAUDIT_[A-Z_]+$", k))])
    error_message = "settings are the program's own variables; their names begin with PLAUDIT_."
  }

  validation {
    condition     = alltrue([for k in keys(var.settings) : !can(regex("SECRET|TOKEN|KEY|PASSWORD", k))])
    error_message = "settings would stand in the service's description for every viewer of the project: put secrets into Secret Manager and name their version in secret_versions."
  }

  validation {
    condition = length(setintersection(keys(var.settings), [
      "PLAUDIT_STORE", "PLAUDIT_PUBLISH", "PLAUDIT_MILESTONES", "PLAUDIT_PUBLIC_READ", "PLAUDIT_LOG", "PLAUDIT_LOG_FORMAT",
      "PLAUDIT_LISTEN", "PLAUDIT_DRAIN_AUDIENCE", "PLAUDIT_DRAIN_EMAIL", "PLAUDIT_COMMENT", "PLAUDIT_GITHUB_APP_ID", "PLAUDIT_OPEN_API",
    ])) == 0
    error_message = "settings may not override what this configuration sets itself, nor open the API to everyone (PLAUDIT_OPEN_API)."
  }
}

variable "secret_versions" {
  type        = map(string)
  default     = {}
  description = <<-EOT
    Which version of which secret the service reads, by the program's variable: { PLAUDIT_GITHUB_SECRET = "1" }.
    Only what is named here is wired. The secrets are made empty; their versions are added outside, with gcloud (output
    secret_commands), so no secret value ever stands in a state file. To rotate, add a version and apply its number.
  EOT

  validation {
    condition = alltrue([for k in keys(var.secret_versions) : contains([
      "PLAUDIT_GITHUB_SECRET", "PLAUDIT_GITLAB_SIGNING_TOKEN", "PLAUDIT_GITLAB_SECRET", "PLAUDIT_API_TOKENS",
      "PLAUDIT_GITHUB_TOKEN", "PLAUDIT_GITHUB_APP_KEY",
    ], k)])
    error_message = "secret_versions knows PLAUDIT_GITHUB_SECRET, PLAUDIT_GITLAB_SIGNING_TOKEN, PLAUDIT_GITLAB_SECRET, PLAUDIT_API_TOKENS, PLAUDIT_GITHUB_TOKEN and PLAUDIT_GITHUB_APP_KEY."
  }

  validation {
    condition     = alltrue([for v in values(var.secret_versions) : can(regex("^[1-9][0-9]*$", v))])
    error_message = "A version is a number. \"latest\" would change what runs without a deployment, and could not be rolled back."
  }
}

variable "comment" {
  type        = bool
  default     = false
  description = "PLAUDIT_COMMENT: comment on the pull request or issue that reached the milestone. Needs PLAUDIT_GITHUB_TOKEN, or github_app_id with PLAUDIT_GITHUB_APP_KEY, in secret_versions."

  validation {
    condition = !var.comment || contains(keys(var.secret_versions), "PLAUDIT_GITHUB_TOKEN") || (
      var.github_app_id != null && contains(keys(var.secret_versions), "PLAUDIT_GITHUB_APP_KEY")
    )
    error_message = "comment = true needs a credential: PLAUDIT_GITHUB_TOKEN, or github_app_id with PLAUDIT_GITHUB_APP_KEY, in secret_versions."
  }
}

variable "github_app_id" {
  type        = string
  default     = null
  description = "PLAUDIT_GITHUB_APP_ID: the id of the GitHub App that comments. Not a secret; its key is."
}

# The store.

variable "database_location" {
  type        = string
  default     = null
  description = "Firestore's location. Default: the region. A multi-region (eur3, nam5) survives the loss of a region, for about twice the price and slower writes. It can never be changed."
}

variable "backup_retention_days" {
  type        = number
  default     = 14
  description = "How long a daily backup of the database is kept."

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 98
    error_message = "backup_retention_days is 1 to 98 (Firestore's limit is 14 weeks)."
  }
}

# The topic.

variable "message_schema" {
  type        = bool
  default     = false
  description = "Let Pub/Sub hold every message against recognition.proto. Off by default, and why: see pubsub.tf."
}

variable "example_subscription" {
  type        = bool
  default     = true
  description = "Make a subscription to look at and to copy. It keeps what nobody takes for 7 days; turn it off once real consumers have their own."
}

# The drain.

variable "drain_schedule" {
  type        = string
  default     = "* * * * *"
  description = "How often Cloud Scheduler calls /internal/drain, as a cron line in UTC. It bounds how late a recognition can be after a failure or a crash."

  validation {
    condition     = length(split(" ", trimspace(var.drain_schedule))) == 5
    error_message = "drain_schedule is a cron line of five fields, like \"* * * * *\"."
  }
}

# Watching.

variable "notification_channels" {
  type        = list(string)
  default     = []
  description = "Where alerts go: ids like projects/PROJECT/notificationChannels/123 (gcloud beta monitoring channels list). Empty: alerts only show in the console."

  validation {
    condition     = alltrue([for c in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", c))])
    error_message = "A notification channel's id looks like projects/PROJECT/notificationChannels/123."
  }
}

variable "availability_goal" {
  type        = number
  default     = 0.999
  description = "The share of requests in 28 days that must not fail by our fault (5xx)."

  validation {
    condition     = var.availability_goal > 0.5 && var.availability_goal < 1
    error_message = "availability_goal is a share, like 0.999."
  }
}

variable "latency_goal" {
  type        = number
  default     = 0.99
  description = "The share of requests in 28 days that must be answered within latency_seconds."

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
  description = "How old the oldest waiting recognition may be before somebody is told."

  validation {
    condition     = var.outbox_alert_seconds >= 120
    error_message = "outbox_alert_seconds is at least 120: a drain a minute cannot do better."
  }
}
