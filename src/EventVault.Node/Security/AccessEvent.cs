// The events of the stream `$access`: users and roles. They are events like all others: with a position, replicated, and read by whoever may
// read `$access`, hashes of passwords included. All have schema version 1 and JSON data:
//
//   $user-set      {"name":"alice","roles":["clerk"],"password":"pbkdf2-sha512$…"}   what is absent stays as it is
//                  {"name":"alice","password":"pbkdf2-sha512$…","itself":true}       the user did it; nothing, if it was removed meanwhile
//   $user-removed  {"name":"alice"}
//   $role-set      {"name":"clerk","grants":["read:*","append:order"]}               instead of what the role had
//   $role-removed  {"name":"clerk"}
//
// What a later version wrote can't be understood here, so it can't be known what it forbids: then nobody is allowed anything but built-in
// administrators.
using System.Buffers;
using System.Text.Json;
using EventVault.Protocol;
using EventVault.Storage.Log;

namespace EventVault.Node.Security;

/// <summary>Writes and reads the events of <c>$access</c>.</summary>
internal static class AccessEvent
{
    public const uint Schema = 1;
    public const string UserSet = "$user-set";
    public const string UserRemoved = "$user-removed";
    public const string RoleSet = "$role-set";
    public const string RoleRemoved = "$role-removed";

    /// <summary>Name of the stream.</summary>
    public static ReadOnlySpan<byte> Stream => "$access"u8;

    public static byte[] User(string name, IEnumerable<string>? roles, PasswordHash? password) => Write(name, json =>
    {
        WriteList(json, "roles", roles);
        if (password is not null)
        {
            json.WriteString("password", password.ToString());
        }
    });

    /// <summary>Another password that a user gives itself.</summary>
    public static byte[] OwnPassword(string name, PasswordHash password) => Write(name, json =>
    {
        json.WriteString("password", password.ToString());
        json.WriteBoolean("itself", true);
    });

    public static byte[] Role(string name, IEnumerable<string> grants) => Write(name, json => WriteList(json, "grants", grants));

    public static byte[] Removed(string name) => Write(name, static _ => { });

    /// <summary>What an event says, applied to what was before it.</summary>
    public static AccessState Apply(AccessState state, in EventView e)
    {
        try
        {
            var data = EventData.Parser.ParseFrom(e.EventData);
            using var json = JsonDocument.Parse(data.Data.Memory);
            var root = json.RootElement;
            var name = root.GetProperty("name").GetString()!;
            return (data.SchemaVersion == Schema ? data.Type : string.Empty) switch
            {
                UserSet => Changed(state, name, root, e.RecordedAt),
                UserRemoved => state with { Users = state.Users.Remove(name) },
                RoleSet => state with { Roles = state.Roles.SetItem(name, new VaultRole(name, [.. Texts(root, "grants").Select(ReadGrant)])) },
                RoleRemoved => state with { Roles = state.Roles.Remove(name) },
                _ => state with { IsReadable = false },
            };
        }
        catch (Exception error) when (error is JsonException or Google.Protobuf.InvalidProtocolBufferException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            return state with { IsReadable = false };
        }
    }

    private static AccessState Changed(AccessState state, string name, JsonElement json, long at)
    {
        var before = state.Users.GetValueOrDefault(name);
        var itself = json.TryGetProperty("itself", out var said) && said.GetBoolean();
        if (itself && before is null)
        {
            return state; // It was removed before this came: nobody is there whose password it could be.
        }

        var roles = json.TryGetProperty("roles", out _) ? [.. Texts(json, "roles")] : before?.Roles ?? [];
        var hash = json.TryGetProperty("password", out var password)
            ? PasswordHash.Parse(password.GetString()!) ?? throw new FormatException("The hash of a password is of a form that is not known.")
            : before?.Password;
        return state with { Users = state.Users.SetItem(name, new VaultUser(name, roles, hash, itself ? at : 0)) };
    }

    private static Grant ReadGrant(string text) => Grant.Parse(text, out var grant) is null ? grant : throw new FormatException($"{text} allows what is not known.");

    private static IEnumerable<string> Texts(JsonElement json, string name) => json.GetProperty(name).EnumerateArray().Select(t => t.GetString()!);

    private static void WriteList(Utf8JsonWriter json, string name, IEnumerable<string>? texts)
    {
        if (texts is null)
        {
            return;
        }

        json.WriteStartArray(name);
        foreach (var text in texts)
        {
            json.WriteStringValue(text);
        }

        json.WriteEndArray();
    }

    private static byte[] Write(string name, Action<Utf8JsonWriter> more)
    {
        var bytes = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(bytes, new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("name", name);
            more(json);
            json.WriteEndObject();
        }

        return bytes.WrittenSpan.ToArray();
    }
}
