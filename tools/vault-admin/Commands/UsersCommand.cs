using System.CommandLine;
using System.Security.Cryptography;
using System.Text;

namespace EventVault.Admin.Commands;

/// <summary><c>users</c>: who may call the vault.</summary>
internal static class UsersCommand
{
    /// <summary>Bytes of a password that is made here: nobody guesses it, however it is hashed.</summary>
    private const int MadePasswordBytes = 24;

    public static Command Create(GlobalOptions global) => new("users", "List users, make or change one, remove one; make the password of the built-in administrator.")
    {
        CreateInit(global),
        CreateList(global),
        CreateSet(global),
        CreateRemove(global),
        CreatePassword(global),
    };

    private static CommandWithExamples CreateInit(GlobalOptions global)
    {
        var file = new Argument<string>("file") { Description = "File that gets the password; must not be there yet." };
        var command = new CommandWithExamples(
            "init",
            "Make a password for the built-in user admin, in a file that nodes are started with (--admin-password-file). Asks no node.",
            "users init /etc/eventvault/admin.password") { file };
        global.Run(command, async (parse, context) =>
        {
            var path = parse.GetValue(file)!;
            await PrivateFile.WriteAsync(path, Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(MadePasswordBytes)) + "\n", context.Stop);
            Tell(context, "file", path, $"Wrote {path}. Start each node with --admin-password-file {path}, and call it with --user admin --password-file {path}.");
            return ExitCode.Done;
        });
        return command;
    }

    private static Command CreateList(GlobalOptions global)
    {
        var command = new Command("ls", "List all users, in the order of their names. The built-in admin is not among them.");
        global.Run(command, async (_, context) =>
        {
            await using var client = context.Connect();
            foreach (var user in await client.Access.ListUsersAsync(cancellationToken: context.Stop))
            {
                if (!context.Output.Json)
                {
                    context.Output.WriteLine($"{user.Name}  roles: {NameLists.Text(user.Roles)}{(user.HasPassword ? "" : "; no password")}");
                    continue;
                }

                context.Output.WriteJson(w =>
                {
                    w.WriteStartObject();
                    w.WriteString("name", user.Name);
                    NameLists.Write(w, "roles", user.Roles);
                    w.WriteBoolean("hasPassword", user.HasPassword);
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
        var roles = new Option<string[]>("--role") { Description = "A role that it has, instead of those that it had; may be repeated.", HelpName = "R" };
        var noRoles = new Option<bool>("--no-roles") { Description = "Take all its roles away." };
        var password = new Option<string?>("--new-password-file") { Description = "File with its password. Without: it keeps what it has, a new user has none.", HelpName = "file" };
        var command = new CommandWithExamples(
            "set", "Make a user, or change what is given of one.", "users set alice --role writer --new-password-file alice.password", "users set alice --no-roles")
        { name, roles, noRoles, password };
        global.Run(command, async (parse, context) =>
        {
            var given = parse.GetValue(roles) is { Length: > 0 } some ? some : null;
            if (given is not null && parse.GetValue(noRoles))
            {
                throw new UsageException($"{roles.Name} and {noRoles.Name} don't go together.");
            }

            var secret = parse.GetValue(password) is { } file ? await ReadAsync(file, context.Stop) : null;
            await using var client = context.Connect();
            var known = given is null ? [] : (await client.Access.ListRolesAsync(cancellationToken: context.Stop)).Select(role => role.Name).ToArray(); // Before: who calls may be whose roles change.
            await client.Access.SetUserAsync(parse.GetValue(name)!, parse.GetValue(noRoles) ? [] : given, secret, context.Stop);
            Tell(context, "user", parse.GetValue(name)!, $"The user {parse.GetValue(name)} is set.");

            // No error: a role may be made behind those who are to have it. But until then it allows nothing, and perhaps its name is mistyped.
            foreach (var role in (given ?? []).Except(known, StringComparer.Ordinal))
            {
                Output.Note($"vault-admin: There is no role '{role}', so it allows {parse.GetValue(name)} nothing until it is made (vault-admin roles set). Roles: {string.Join(", ", known)}.");
            }

            return ExitCode.Done;
        });
        return command;
    }

    private static CommandWithExamples CreateRemove(GlobalOptions global)
    {
        var name = NameArgument();
        var command = new CommandWithExamples("remove", "Remove a user; calls that it has open end.", "users remove alice") { name };
        global.Run(command, async (parse, context) =>
        {
            await using var client = context.Connect();
            var known = (await client.Access.ListUsersAsync(cancellationToken: context.Stop)).Select(user => user.Name).ToArray(); // Before: who calls may be who is removed.
            await client.Access.RemoveUserAsync(parse.GetValue(name)!, context.Stop);
            Tell(context, "user", parse.GetValue(name)!, $"There is no user {parse.GetValue(name)} any more.");
            NameLists.NoteUnknown("user", parse.GetValue(name)!, known);
            return ExitCode.Done;
        });
        return command;
    }

    private static CommandWithExamples CreatePassword(GlobalOptions global)
    {
        var old = new Option<string>("--old-password-file") { Description = "File with the password as it is.", HelpName = "file", Required = true };
        var @new = new Option<string>("--new-password-file") { Description = "File with the password as it is to be.", HelpName = "file", Required = true };
        var command = new CommandWithExamples(
            "password", "Change the password of the user that calls.", "users password --user alice --password-file old --old-password-file old --new-password-file new")
        { old, @new };
        global.Run(command, async (parse, context) =>
        {
            var (before, after) = (await ReadAsync(parse.GetValue(old)!, context.Stop), await ReadAsync(parse.GetValue(@new)!, context.Stop));
            await using var client = context.Connect();
            await client.Access.ChangePasswordAsync(before, after, context.Stop);
            Tell(context, "changed", "password", "The password is changed.");
            return ExitCode.Done;
        });
        return command;
    }

    private static Argument<string> NameArgument() => new("name") { Description = "Name of the user." };

    // Strictly, or all bytes that are no UTF-8 would be the same character, and another password as good as the right one.
    private static async Task<string> ReadAsync(string file, CancellationToken stop)
    {
        try
        {
            return (await File.ReadAllTextAsync(file, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true), stop)).TrimEnd('\r', '\n');
        }
        catch (DecoderFallbackException)
        {
            throw new UsageException($"The password in {file} is not UTF-8: write it anew.");
        }
    }

    private static void Tell(CommandContext context, string property, string value, string text)
    {
        if (!context.Output.Json)
        {
            context.Output.WriteLine(text);
            return;
        }

        context.Output.WriteJson(w =>
        {
            w.WriteStartObject();
            w.WriteString(property, value);
            w.WriteEndObject();
        });
    }
}
