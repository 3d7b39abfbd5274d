using System.CommandLine;

namespace EventVault.Admin.Commands;

/// <summary><c>roles</c>: what users may do.</summary>
internal static class RolesCommand
{
    public static Command Create(GlobalOptions global) => new("roles", "List roles, make or change one, remove one.")
    {
        CreateList(global),
        CreateSet(global),
        CreateRemove(global),
    };

    private static Command CreateList(GlobalOptions global)
    {
        var command = new Command("ls", "List all roles and what they allow: those that are always there, then the others.");
        global.Run(command, async (_, context) =>
        {
            await using var client = context.Connect();
            foreach (var role in await client.Access.ListRolesAsync(cancellationToken: context.Stop))
            {
                if (!context.Output.Json)
                {
                    context.Output.WriteLine($"{role.Name}  {NameLists.Text(role.Grants)}{(role.IsBuiltIn ? "; built in" : "")}");
                    continue;
                }

                context.Output.WriteJson(w =>
                {
                    w.WriteStartObject();
                    w.WriteString("name", role.Name);
                    NameLists.Write(w, "grants", role.Grants);
                    w.WriteBoolean("isBuiltIn", role.IsBuiltIn);
                    w.WriteEndObject();
                });
            }

            return ExitCode.Done;
        });
        return command;
    }

    private static CommandWithExamples CreateSet(GlobalOptions global)
    {
        var name = NameArgument();
        var grants = new Option<string[]>("--allow")
        {
            Description = "What it allows: admin, or read:, append: or manage: and a category, * for all, or $* for the vault's own. May be repeated.",
            HelpName = "grant",
            Required = true,
        };
        var command = new CommandWithExamples(
            "set", "Make a role, or give it other rights instead of those that it had.", "roles set clerk --allow read:* --allow append:order") { name, grants };
        global.Run(command, async (parse, context) =>
        {
            await using var client = context.Connect();
            await client.Access.SetRoleAsync(parse.GetValue(name)!, parse.GetValue(grants)!, context.Stop);
            Tell(context, parse.GetValue(name)!, "is set");
            return ExitCode.Done;
        });
        return command;
    }

    private static CommandWithExamples CreateRemove(GlobalOptions global)
    {
        var name = NameArgument();
        var command = new CommandWithExamples("remove", "Remove a role: users who have it lose what it allowed.", "roles remove clerk") { name };
        global.Run(command, async (parse, context) =>
        {
            await using var client = context.Connect();
            var known = (await client.Access.ListRolesAsync(cancellationToken: context.Stop)).Select(role => role.Name).ToArray();
            await client.Access.RemoveRoleAsync(parse.GetValue(name)!, context.Stop);
            Tell(context, parse.GetValue(name)!, "is not there any more");
            NameLists.NoteUnknown("role", parse.GetValue(name)!, known);
            return ExitCode.Done;
        });
        return command;
    }

    private static Argument<string> NameArgument() => new("name") { Description = "Name of the role." };

    private static void Tell(CommandContext context, string role, string what)
    {
        if (!context.Output.Json)
        {
            context.Output.WriteLine($"The role {role} {what}.");
            return;
        }

        context.Output.WriteJson(w =>
        {
            w.WriteStartObject();
            w.WriteString("role", role);
            w.WriteEndObject();
        });
    }
}
