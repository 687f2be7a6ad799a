// A team's own program with a private way to its buckets. `pulumi package add CHECKOUT/package` makes the SDK beside it,
// in sdks/twinlock; what an environment takes is what a stack file holds, in camel case.
import * as pulumi from "@pulumi/pulumi";
import * as twinlock from "@pulumi/twinlock";

const config = new pulumi.Config();

const access = new twinlock.Environment("access", {
    environment: pulumi.getStack(),
    network: { cidr: "10.40.0.0/16", zones: ["eu-west-1a", "eu-west-1b"] },
    tunnel: { range: "10.91.0.0/16" },
    gateway: { image: config.require("image") },
    storage: { buckets: ["reports"], breakGlass: config.requireObject<string[]>("deployers") },
    tenants: {
        analysts: { range: "10.91.64.0/18", principals: config.requireObject<string[]>("analysts") },
    },
});

export const endpoints = access.endpoints;
// What the `twinlock` command finds the environment by.
export const discovery = access.discovery;
