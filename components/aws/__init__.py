"""Plans -> AWS resources: one component a file, under the same file names for each cloud."""

from components.aws.sdk import import_light

import_light()
