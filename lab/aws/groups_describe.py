"""How groups look in answers of the Auto Scaling API. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.aws.groups import Activity, Group, Hook, Member, Refresh
from lab.aws.launcher_values import Result


def group_document(group: Group, members: Sequence[Member]) -> Result:
    document: Result = {
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "LaunchTemplate": _template(group.template, group.template_name, group.template_version),
        "MinSize": group.minimum,
        "MaxSize": group.maximum,
        "DesiredCapacity": group.desired,
        "DefaultCooldown": group.cooldown,
        "AvailabilityZones": list(group.zones),
        "LoadBalancerNames": [],
        "TargetGroupARNs": [],
        "TrafficSources": [],
        "HealthCheckType": group.health_check,
        "HealthCheckGracePeriod": group.grace,
        "Instances": [member_document(member) for member in members],
        "CreatedTime": group.created,
        "SuspendedProcesses": [
            {"ProcessName": name, "SuspensionReason": "User suspended"} for name in sorted(group.suspended)
        ],
        "VPCZoneIdentifier": ",".join(group.subnets),
        "EnabledMetrics": [],
        "Tags": tag_documents(group),
        "TerminationPolicies": ["Default"],
        "NewInstancesProtectedFromScaleIn": group.protect_new,
        "ServiceLinkedRoleARN": group.service_role,
        "CapacityRebalance": False,
    }
    if group.warmup:
        document["DefaultInstanceWarmup"] = group.warmup
    if (group.healthy_min, group.healthy_max) != (-1, -1):
        document["InstanceMaintenancePolicy"] = {
            "MinHealthyPercentage": group.healthy_min,
            "MaxHealthyPercentage": group.healthy_max,
        }
    if group.deleting:
        document["Status"] = "Delete in progress"
    return document


def member_document(member: Member) -> Result:
    return {
        "InstanceId": member.instance,
        "InstanceType": member.type,
        "AvailabilityZone": member.zone,
        "LifecycleState": member.lifecycle,
        "HealthStatus": "Healthy" if member.healthy else "Unhealthy",
        "LaunchTemplate": _template(member.template, member.template_name, member.template_version),
        "ProtectedFromScaleIn": member.protected,
    }


def activity_document(activity: Activity) -> Result:
    document: Result = {
        "ActivityId": activity.id,
        "AutoScalingGroupName": activity.group,
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": activity.started,
        "StatusCode": activity.status,
        "Progress": 50 if activity.ended is None else 100,
        "Details": activity.details,
    }
    if activity.ended is not None:
        document["EndTime"] = activity.ended
    if activity.message:
        document["StatusMessage"] = activity.message
    return document


def tag_documents(group: Group) -> list[Result]:
    return [
        {
            "ResourceId": group.name,
            "ResourceType": "auto-scaling-group",
            "Key": tag.key,
            "Value": tag.value,
            "PropagateAtLaunch": tag.propagate,
        }
        for tag in group.tags
    ]


def hook_document(group: Group, hook: Hook) -> Result:
    document: Result = {
        "LifecycleHookName": hook.name,
        "AutoScalingGroupName": group.name,
        "LifecycleTransition": hook.transition,
        "HeartbeatTimeout": hook.timeout,
        "GlobalTimeout": min(hook.timeout * 100, 172800),
        "DefaultResult": hook.default_result,
    }
    optional = {
        "NotificationMetadata": hook.metadata,
        "NotificationTargetARN": hook.target,
        "RoleARN": hook.role,
    }
    return document | {key: value for key, value in optional.items() if value}


def refresh_document(refresh: Refresh, present: Sequence[str]) -> Result:
    left = len(set(refresh.old) & set(present))
    done = 100 if refresh.status == "Successful" else 100 * (refresh.total - left) // max(1, refresh.total)
    document: Result = {
        "InstanceRefreshId": refresh.id,
        "AutoScalingGroupName": refresh.group,
        "Status": refresh.status,
        "StartTime": refresh.started,
        "PercentageComplete": done,
        "InstancesToUpdate": left,
        "Preferences": {
            "MinHealthyPercentage": refresh.healthy_min,
            "MaxHealthyPercentage": refresh.healthy_max,
            "InstanceWarmup": refresh.warmup,
            "SkipMatching": refresh.skip_matching,
        },
    }
    if refresh.ended is not None:
        document["EndTime"] = refresh.ended
    if refresh.reason:
        document["StatusReason"] = refresh.reason
    return document


def _template(template: str, name: str, version: str) -> Result:
    return {"LaunchTemplateId": template, "LaunchTemplateName": name, "Version": version}
