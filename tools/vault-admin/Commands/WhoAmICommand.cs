using System.CommandLine;

namespace EventVault.Admin.Commands;

/// <summary><c>whoami</c>: who the credentials of the command stand for.</summary>
internal static class WhoAmICommand
{
    public static Command Create(GlobalOptions global)
    {
        var command = new Command("whoami", "Show who the credentials stand for, and what that allows.");
        global.Run(command, async (_, context) =>
        {
            await using var client = context.Connect();
            var caller = await client.Access.WhoAmIAsync(context.Stop);
            if (!context.Output.Json)
            {
                context.Output.Show(Rows.Of(("user", caller.Name), ("roles", NameLists.Text(caller.Roles)), ("may", NameLists.Text(caller.Grants))));
                return ExitCode.Done;
            }

            context.Output.WriteJson(w =>
            {
                w.WriteStartObject();
                w.WriteString("name", caller.Name);
                NameLists.Write(w, "roles", caller.Roles);
                NameLists.Write(w, "grants", caller.Grants);
                w.WriteEndObject();
            });
            return ExitCode.Done;
        });
        return command;
    }
}
