# The building block that `bb-runner demo` orders. It needs no provider and no network.

variable "name" {
  type        = string
  description = "What the application is called."
}

variable "replicas" {
  type        = number
  description = "How many copies of it run."
}

variable "zones" {
  type        = list(string)
  description = "Where they run."
}

variable "settings" {
  type        = object({ theme = string, features = list(string) })
  description = "Given as JSON text, arrives as an object."
}

variable "admin_password" {
  type        = string
  sensitive   = true
  description = "Encrypted on its way, and never shown."
}

variable "meshstack_building_block_id" {
  type        = string
  description = "Set by the runner for every module that asks for it."
}

resource "terraform_data" "application" {
  count = var.replicas
  input = {
    name = "${var.name}-${count.index + 1}"
    zone = var.zones[count.index % length(var.zones)]
  }
}

output "url" {
  value = "https://${var.name}.example.com"
}

output "replicas" {
  value = var.replicas
}

output "highly_available" {
  value = length(var.zones) > 1
}

output "placement" {
  value = { for copy in terraform_data.application : copy.output.name => copy.output.zone }
}

output "theme" {
  value = var.settings.theme
}

output "admin_login" {
  value     = "admin:${var.admin_password}"
  sensitive = true
}

output "building_block" {
  value = var.meshstack_building_block_id
}
