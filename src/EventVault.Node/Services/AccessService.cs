// Users and roles. To change one is an append of one event to `$access`. A password is hashed with the operation id in its salt, so that a retry
// writes the same event, and is found to be one.
using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using EventVault.Node.Security;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using Google.Protobuf;

namespace EventVault.Node.Services;

/// <summary>The service <c>eventvault.v1.Access</c>.</summary>
internal sealed class AccessService(AccessRegistry registry, AccessGuard guard, SingleAppends appends, ConsistentReads consistent, NodeLimits limits, TimeProvider clock)
{
    /// <summary>
    /// Between two passwords that a user gives itself: each is an event that stays for ever, and it takes no right to make it.
    /// </summary>
    private static readonly TimeSpan OwnPasswordEvery = TimeSpan.FromMinutes(1);

    private const int LeastPasswordBytes = 8;

    /// <summary>More than anybody remembers or a generator makes.</summary>
    private const int MostPasswordBytes = 1024;

    public void AddTo(RpcServer server) => server
        .UnaryRaw(RpcMethod<WhoAmIRequest, WhoAmIResponse>.Of(VaultServices.Access, "WhoAmI"), WhoAmI)
        .UnaryRaw(RpcMethod<ChangePasswordRequest, AppendResponse>.Of(VaultServices.Access, "ChangePassword"), ChangePasswordAsync)
        .UnaryRaw(RpcMethod<SetUserRequest, AppendResponse>.Of(VaultServices.Access, "SetUser"), SetUserAsync)
        .UnaryRaw(RpcMethod<RemoveUserRequest, AppendResponse>.Of(VaultServices.Access, "RemoveUser"), RemoveUserAsync)
        .UnaryRaw(RpcMethod<ListUsersRequest, ListUsersResponse>.Of(VaultServices.Access, "ListUsers"), ListUsersAsync)
        .UnaryRaw(RpcMethod<SetRoleRequest, AppendResponse>.Of(VaultServices.Access, "SetRole"), SetRoleAsync)
        .UnaryRaw(RpcMethod<RemoveRoleRequest, AppendResponse>.Of(VaultServices.Access, "RemoveRole"), RemoveRoleAsync)
        .UnaryRaw(RpcMethod<ListRolesRequest, ListRolesResponse>.Of(VaultServices.Access, "ListRoles"), ListRolesAsync);

    private ValueTask<WhoAmIResponse> WhoAmI(ReadOnlySequence<byte> request, RpcContext context)
    {
        RequestFields.Parse(WhoAmIRequest.Parser, request);
        var caller = AccessGuard.CallerOf(context);
        var response = new WhoAmIResponse { Name = caller.Name };
        if (caller.IsBuiltIn)
        {
            response.Grants.Add("admin");
            return ValueTask.FromResult(response);
        }

        var state = registry.Current();
        var own = state.Users.TryGetValue(caller.Name, out var user) ? user.Roles.AsEnumerable() : [];
        response.Roles.AddRange(own.Concat(caller.TokenRoles).Distinct());
        response.Grants.AddRange(response.Roles.SelectMany(state.GrantsOf).Select(static g => g.ToString()).Distinct());
        return ValueTask.FromResult(response);
    }

    private async ValueTask<AppendResponse> SetUserAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(SetUserRequest.Parser, request);
        var id = StreamChangeRequests.OperationId(parsed.OperationId);
        CheckUser(parsed.Name);
        foreach (var role in parsed.Roles?.Names.AsEnumerable() ?? [])
        {
            CheckName(role, "roles.names");
        }

        var most = limits[NodeLimits.UserRoles];
        if (parsed.Roles is { } roles && roles.Names.Count > most.Allowed)
        {
            throw Errors.LimitExceeded(most, roles.Names.Count, "roles.names").ToException();
        }

        var password = parsed.HasPassword ? await HashAsync(parsed.Password, "password", parsed.OperationId, context) : null;
        var users = registry.Current().Users;
        return users.ContainsKey(parsed.Name) || users.Count < limits[NodeLimits.Users].Allowed
            ? await RecordAsync(id, AccessEvent.UserSet, AccessEvent.User(parsed.Name, parsed.Roles?.Names, password), context)
            : throw Errors.LimitExceeded(limits[NodeLimits.Users], users.Count + 1, "name").ToException();
    }

    private async ValueTask<AppendResponse> RemoveUserAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(RemoveUserRequest.Parser, request);
        var id = StreamChangeRequests.OperationId(parsed.OperationId);
        CheckUser(parsed.Name);
        return await RecordAsync(id, AccessEvent.UserRemoved, AccessEvent.Removed(parsed.Name), context);
    }

    // Whoever knows the old password: a client that was left open is not enough.
    private async ValueTask<AppendResponse> ChangePasswordAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(ChangePasswordRequest.Parser, request);
        var id = StreamChangeRequests.OperationId(parsed.OperationId);
        var caller = AccessGuard.CallerOf(context);
        if (caller.IsBuiltIn || !registry.Current().Users.TryGetValue(caller.Name, out var user) || user.Password is null)
        {
            throw Errors.InvalidRequest("new_password", "can't be set: the caller has no password that the vault keeps").ToException();
        }

        appends.RequireLeader(); // Elsewhere it is not known when it was changed last.
        if (user.ChangedItselfAt + OwnPasswordEvery.Ticks is var next && next > VaultLoop.Now(clock))
        {
            throw Errors.PasswordChangedJustNow(TimeSpan.FromTicks(Math.Min(next - VaultLoop.Now(clock), OwnPasswordEvery.Ticks))).ToException();
        }

        if (!await guard.Passwords.MatchesAsync(user.Password, Encoding.UTF8.GetBytes(parsed.OldPassword), new CallOrigin(context), context.Cancellation))
        {
            var refusal = Errors.BadCredentials().ToException();
            guard.TellRefused(context, caller.Name, refusal.Status.Message);
            throw refusal;
        }

        var hash = await HashAsync(parsed.NewPassword, "new_password", parsed.OperationId, context);
        while (true)
        {
            // Of several changes at once, one: the others were asked for with a password that has ended.
            var state = registry.Current();
            if (state.Users.GetValueOrDefault(caller.Name)?.Password != user.Password)
            {
                throw Errors.CredentialsEnded().ToException();
            }

            // Written only if nothing has come since: it may be an administrator's reset, which must not be undone with the old password.
            var append = NewAppend(id, AccessEvent.UserSet, AccessEvent.OwnPassword(caller.Name, hash), context, state.Through);
            var refused = await appends.DecideAsync(append);
            if (refused is not null || append.Outcome != AppendOutcome.Conflict)
            {
                return appends.Answer(append, refused);
            }
        }
    }

    private async ValueTask<ListUsersResponse> ListUsersAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(ListUsersRequest.Parser, request);
        await consistent.WaitAsync(parsed.Consistency, context);
        var response = new ListUsersResponse();
        foreach (var user in registry.Current().Users.Values)
        {
            var told = new Protocol.VaultUser { Name = user.Name, HasPassword = user.Password is not null };
            told.Roles.AddRange(user.Roles);
            response.Users.Add(told);
        }

        return response;
    }

    private async ValueTask<AppendResponse> SetRoleAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(SetRoleRequest.Parser, request);
        var id = StreamChangeRequests.OperationId(parsed.OperationId);
        CheckRole(parsed.Name);
        var most = limits[NodeLimits.RoleGrants];
        if (parsed.Grants.Count > most.Allowed)
        {
            throw Errors.LimitExceeded(most, parsed.Grants.Count, "grants").ToException();
        }

        for (var i = 0; i < parsed.Grants.Count; i++)
        {
            if (Grant.Parse(parsed.Grants[i], out _) is { } why)
            {
                throw Errors.InvalidRequest($"grants[{AppendFields.Number(i)}]", why).ToException();
            }
        }

        var roles = registry.Current().Roles;
        return roles.ContainsKey(parsed.Name) || roles.Count < limits[NodeLimits.Roles].Allowed
            ? await RecordAsync(id, AccessEvent.RoleSet, AccessEvent.Role(parsed.Name, parsed.Grants), context)
            : throw Errors.LimitExceeded(limits[NodeLimits.Roles], roles.Count + 1, "name").ToException();
    }

    private async ValueTask<AppendResponse> RemoveRoleAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(RemoveRoleRequest.Parser, request);
        var id = StreamChangeRequests.OperationId(parsed.OperationId);
        CheckRole(parsed.Name);
        return await RecordAsync(id, AccessEvent.RoleRemoved, AccessEvent.Removed(parsed.Name), context);
    }

    private async ValueTask<ListRolesResponse> ListRolesAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(ListRolesRequest.Parser, request);
        await consistent.WaitAsync(parsed.Consistency, context);
        var response = new ListRolesResponse();
        var own = registry.Current().Roles.Values;
        foreach (var role in Security.VaultRole.BuiltIn.Values.OrderBy(static r => r.Name, StringComparer.Ordinal).Concat(own))
        {
            var told = new Protocol.VaultRole { Name = role.Name, IsBuiltIn = Security.VaultRole.BuiltIn.ContainsKey(role.Name) };
            told.Grants.AddRange(role.Grants.Select(static g => g.ToString()));
            response.Roles.Add(told);
        }

        return response;
    }

    private async Task<PasswordHash> HashAsync(string password, string field, ByteString operationId, RpcContext context)
    {
        var bytes = Encoding.UTF8.GetBytes(password);
        return bytes.Length is >= LeastPasswordBytes and <= MostPasswordBytes
            ? await guard.Passwords.HashAsync(bytes, SHA256.HashData(operationId.Span)[..16], new CallOrigin(context))
            : throw Errors.InvalidRequest(field, FormattableString.Invariant($"has {bytes.Length} bytes; {LeastPasswordBytes} to {MostPasswordBytes} are allowed")).ToException();
    }

    private async ValueTask<AppendResponse> RecordAsync(UInt128 id, string type, byte[] json, RpcContext context)
    {
        var append = NewAppend(id, type, json, context);
        return appends.Answer(append, await appends.DecideAsync(append));
    }

    private SingleAppend NewAppend(UInt128 id, string type, byte[] json, RpcContext context, Storage.StreamVersion? expected = null)
    {
        var append = appends.New(context);
        append.Content.Reset([]);
        append.Content.OperationId = id;
        append.Content.SetVaultEvent(AccessEvent.Stream, Encoding.UTF8.GetBytes(type), AccessEvent.Schema, json, expected);
        if (append.Content.Check(out _, out _) is { Kind: not Storage.Log.EventProblemKind.None } problem)
        {
            // Nothing but a node set up for very small events refuses it.
            throw Errors.Event(problem, "name", Errors.Name(AccessEvent.Stream), 0, limits).ToException();
        }

        return append;
    }

    private static void CheckUser(string name)
    {
        CheckName(name, "name");
        if (name == Caller.AdminName)
        {
            throw Errors.InvalidRequest("name", "is that of the built-in administrator, whose password each node is started with").ToException();
        }
    }

    private static void CheckRole(string name)
    {
        CheckName(name, "name");
        if (Security.VaultRole.BuiltIn.ContainsKey(name))
        {
            throw Errors.InvalidRequest("name", "is that of a role that is always there, and can't be changed").ToException();
        }
    }

    private static void CheckName(string name, string field)
    {
        if (UserNames.Problem(name) is { } why)
        {
            throw Errors.InvalidRequest(field, why).ToException();
        }
    }
}
