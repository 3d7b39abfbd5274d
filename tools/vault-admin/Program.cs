return await EventVault.Admin.AdminCommandLine.RunAsync(args);
