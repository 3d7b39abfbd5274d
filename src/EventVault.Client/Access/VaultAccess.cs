namespace EventVault.Client;

/// <summary>Who calls, and what that allows.</summary>
/// <param name="Name">Name of the user; <c>anybody</c> on a node that asks nobody for credentials.</param>
/// <param name="Roles">Its roles.</param>
/// <param name="Grants">What they allow, such as <c>read:order</c>; <c>admin</c> is everything.</param>
public sealed record CallerRights(string Name, IReadOnlyList<string> Roles, IReadOnlyList<string> Grants);

/// <summary>A user of the vault.</summary>
/// <param name="Name">The name.</param>
/// <param name="Roles">Names of its roles.</param>
/// <param name="HasPassword">False: it comes by certificate or token.</param>
public sealed record VaultUser(string Name, IReadOnlyList<string> Roles, bool HasPassword);

/// <summary>A role.</summary>
/// <param name="Name">The name.</param>
/// <param name="Grants">What it allows: <c>admin</c>, or an operation and a category, such as <c>read:order</c>, <c>append:*</c>, <c>read:$audit</c>.</param>
/// <param name="IsBuiltIn">It is always there, and can't be changed.</param>
public sealed record VaultRole(string Name, IReadOnlyList<string> Grants, bool IsBuiltIn);

/// <summary>
/// Users and roles of a vault: <see cref="VaultClient.Access"/>. Changes are events of the stream <c>$access</c>; each may be repeated. Thread-safe.
/// </summary>
public sealed class VaultAccess
{
    private readonly VaultCalls _calls;
    private readonly VaultChanges _changes;
    private readonly SeenPosition _seen;

    internal VaultAccess(VaultCalls calls, VaultChanges changes, SeenPosition seen) => (_calls, _changes, _seen) = (calls, changes, seen);

    /// <summary>Who this client is to the vault.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">The call failed; with <see cref="VaultErrorCode.NotAuthenticated"/> the credentials are wrong.</exception>
    public async Task<CallerRights> WhoAmIAsync(CancellationToken cancellationToken = default)
    {
        Protocol.WhoAmIResponse answer = await _calls.ReadAsync(VaultMethods.WhoAmI, new Protocol.WhoAmIRequest(), cancellationToken).ConfigureAwait(false);
        return new CallerRights(answer.Name, [.. answer.Roles], [.. answer.Grants]);
    }

    /// <summary>Changes the password of this client's user. The client's own credentials have to be changed, too.</summary>
    /// <param name="oldPassword">What it is.</param>
    /// <param name="newPassword">What it is to be, 8 to 1,024 bytes.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <exception cref="VaultException">It failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been done.</exception>
    public Task ChangePasswordAsync(string oldPassword, string newPassword, CancellationToken cancellationToken = default)
    {
        var request = new Protocol.ChangePasswordRequest { OldPassword = oldPassword, NewPassword = newPassword };
        return _changes.RunAsync(VaultMethods.ChangePassword, request, null, static (r, id) => r.OperationId = id, null, cancellationToken);
    }

    /// <summary>Makes a user, or changes what is given of one.</summary>
    /// <param name="name">1 to 128 bytes without colons and control characters; not <c>admin</c>, and does not begin with <c>$</c>.</param>
    /// <param name="roles">Instead of those that it had; null: it keeps them.</param>
    /// <param name="password">8 to 1,024 bytes; null: it keeps what it has.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <exception cref="VaultException">It failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been done.</exception>
    public Task SetUserAsync(string name, IEnumerable<string>? roles = null, string? password = null, CancellationToken cancellationToken = default)
    {
        var request = new Protocol.SetUserRequest { Name = name };
        if (roles is not null)
        {
            request.Roles = new Protocol.RoleNames();
            request.Roles.Names.AddRange(roles);
        }

        if (password is not null)
        {
            request.Password = password;
        }

        return _changes.RunAsync(VaultMethods.SetUser, request, null, static (r, id) => r.OperationId = id, null, cancellationToken);
    }

    /// <summary>Takes a user away; calls that it has open end. One that is not there changes nothing.</summary>
    /// <param name="name">The name.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <exception cref="VaultException">It failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been done.</exception>
    public Task RemoveUserAsync(string name, CancellationToken cancellationToken = default) => _changes.RunAsync(
        VaultMethods.RemoveUser, new Protocol.RemoveUserRequest { Name = name }, null, static (r, id) => r.OperationId = id, null, cancellationToken);

    /// <summary>All users, in the order of their names.</summary>
    /// <param name="consistency">What the answer must have seen.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<IReadOnlyList<VaultUser>> ListUsersAsync(Consistency consistency = default, CancellationToken cancellationToken = default)
    {
        var request = new Protocol.ListUsersRequest { Consistency = consistency.ToMessage(_seen) };
        Protocol.ListUsersResponse answer = await _calls.ReadAsync(VaultMethods.ListUsers, request, cancellationToken).ConfigureAwait(false);
        return [.. answer.Users.Select(static u => new VaultUser(u.Name, [.. u.Roles], u.HasPassword))];
    }

    /// <summary>Makes a role, or gives it other grants instead of those that it had.</summary>
    /// <param name="name">As of a user.</param>
    /// <param name="grants">At most 100: <c>admin</c>, or an operation and a category, such as <c>read:order</c>, <c>append:*</c>, <c>read:$audit</c>.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <exception cref="VaultException">It failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been done.</exception>
    public Task SetRoleAsync(string name, IEnumerable<string> grants, CancellationToken cancellationToken = default)
    {
        var request = new Protocol.SetRoleRequest { Name = name };
        request.Grants.AddRange(grants);
        return _changes.RunAsync(VaultMethods.SetRole, request, null, static (r, id) => r.OperationId = id, null, cancellationToken);
    }

    /// <summary>Takes a role away: users who have it lose what it allowed. One that is not there changes nothing.</summary>
    /// <param name="name">The name.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <exception cref="VaultException">It failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been done.</exception>
    public Task RemoveRoleAsync(string name, CancellationToken cancellationToken = default) => _changes.RunAsync(
        VaultMethods.RemoveRole, new Protocol.RemoveRoleRequest { Name = name }, null, static (r, id) => r.OperationId = id, null, cancellationToken);

    /// <summary>All roles: those that are always there, then the others.</summary>
    /// <param name="consistency">What the answer must have seen.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<IReadOnlyList<VaultRole>> ListRolesAsync(Consistency consistency = default, CancellationToken cancellationToken = default)
    {
        var request = new Protocol.ListRolesRequest { Consistency = consistency.ToMessage(_seen) };
        Protocol.ListRolesResponse answer = await _calls.ReadAsync(VaultMethods.ListRoles, request, cancellationToken).ConfigureAwait(false);
        return [.. answer.Roles.Select(static r => new VaultRole(r.Name, [.. r.Grants], r.IsBuiltIn))];
    }
}
